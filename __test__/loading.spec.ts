// Promise: if the package cannot be loaded, the error says in one line why and what to do, and looks up nothing in the
// network. The package can be loaded before the program, in worker threads, and twice in one process.

import { copyFileSync, linkSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { integrity } from './support/database'
import { itWith } from './support/needs'
import { finish, ROOT, start } from './support/processes'
import { DATABASE, DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'
import { cannotTrace } from './support/strace'

const [BINARY = ''] = readdirSync(ROOT).filter((name) => name.endsWith('.node'))

/** A copy of the package, with a binary if `place` puts one there. */
function install(place?: (path: string) => void): string {
  const folder = temporaryFolder()
  for (const file of ['index.js', 'package.json']) copyFileSync(join(ROOT, file), join(folder, file))
  place?.(join(folder, BINARY))
  return folder
}

/** Runs a script and returns what it prints. It must not print errors. */
async function run(args: string[], env?: NodeJS.ProcessEnv, command = process.execPath): Promise<string> {
  const { stdout, stderr } = await finish(start(command, args, env))
  expect(stderr).toBe('')
  return stdout
}

describe('the error', () => {
  const LOAD = 'try { require(process.argv[1]) } catch ({ message }) { console.log(message) }'

  test('names the platform if there is no binary for it', async () => {
    const pretend = "Object.defineProperty(process, 'arch', { value: 'riscv64' });"
    const message = await run(['-e', pretend + LOAD, install()])
    expect(message).toMatch(
      /^rust-crypto-helper found no binary for \w+-riscv64.* \(Node\.js [\d.]+\)\. .*install again on this machine, .*build it from source: https:.*\n$/,
    )
  })

  test('says why the binary cannot be loaded', async () => {
    const folder = install((path) => {
      writeFileSync(path, 'no binary')
    })
    expect(await run(['-e', LOAD, folder])).toMatch(
      /^rust-crypto-helper cannot load its binary for \w+-\w+.* \(Node\.js [\d.]+\): .*\.node.*\. Install it again on this machine, .*build it from source: https:.*\n$/,
    )
  })

  test('says that addons may not be loaded', async () => {
    expect(await run(['--no-addons', '-e', LOAD, ROOT])).toMatch(
      /^rust-crypto-helper cannot load its binary .*loading addons is disabled\. .*let Node\.js .*load addons.*\n$/,
    )
  })

  // Among what Node.js reports are its connections, with names that it asks a name server for.
  itWith(cannotTrace()).each([true, false])(
    'is made without a look-up, where reports exclude the network: %s',
    async (excludeNetwork) => {
      const log = join(temporaryFolder(), 'log')
      const script = `
        const { createServer, connect } = require('node:net')
        const server = createServer().listen(0, '127.0.0.1', () => {
          connect(server.address().port, '127.0.0.1', () => {
            process.report.excludeNetwork = ${excludeNetwork}
            process.stdout.write('connected ')
            try { require(process.argv[1]) } catch { console.log(process.report.excludeNetwork) }
            process.exit()
          })
        })`
      const trace = ['-f', '-o', log, '-e', 'trace=socket,write']
      const output = await run([...trace, process.execPath, '-e', script, install()], {}, 'strace')
      expect(output).toBe(`connected ${excludeNetwork}\n`)
      const afterwards = readFileSync(log, 'utf8').split('connected ')[1]
      expect(afterwards).toContain(`${excludeNetwork}\\n`)
      expect(afterwards).not.toContain('socket(')
    },
  )
})

test('the package can be loaded before the program and its worker threads', async () => {
  const code = `
    const { isMainThread, Worker } = require('node:worker_threads')
    const { PACKAGE, STORE } = process.env
    if (!require.cache[PACKAGE]) throw new Error('it was not loaded')
    void require(PACKAGE).bootstrapCrossSigning('${USER_ID}', '${DEVICE_ID}', STORE).then(({ status }) => {
      console.log(status)
      if (isMainThread) new Worker(__filename)
    })`
  const folder = temporaryFolder()
  const program = join(folder, 'program.js')
  writeFileSync(program, code)
  const env = { PACKAGE: join(ROOT, 'index.js'), STORE: join(folder, 'store') }
  expect(await run(['--require', ROOT, program], env)).toBe('created\nresumed\n')
})

// One binary on the disk under two names, as pnpm makes them, is one library in memory.
test.each([
  { binary: 'two files', again: copyFileSync },
  { binary: 'two links to one file', again: linkSync },
])('two copies in one process, with $binary, share a store', async ({ again }) => {
  const first = install((path) => {
    copyFileSync(join(ROOT, BINARY), path)
  })
  const second = install((path) => {
    again(join(first, BINARY), path)
  })
  const store = join(temporaryFolder(), 'store')
  const script = `
    const copies = process.argv.slice(1, 3).map((folder) => require(folder))
    const [userId, deviceId, store] = ['${USER_ID}', '${DEVICE_ID}', process.argv[3]]
    const together = (options) =>
      Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          copies[n % 2].bootstrapCrossSigning(userId, deviceId, store, options).then(
            ({ status, upload_keys }) => ({ status, master: Object.values(upload_keys.master_key.keys)[0] }),
            ({ code }) => ({ status: code }),
          ),
        ),
      )
    async function main() {
      const rounds = []
      for (const options of [{}, { reset: true }, {}, { busyTimeout: 0 }]) rounds.push(await together(options))
      console.log(JSON.stringify(rounds))
    }
    void main()`
  const rounds = JSON.parse(await run(['-e', script, first, second, store])) as Call[][]
  const [created = [], reset = [], resumed = [], impatient = []] = rounds

  expect(created.map(({ status }) => status).sort()).toEqual(['created', ...repeat('resumed', 19)])
  expect(masters(created)).toHaveLength(1)
  expect(reset.map(({ status }) => status)).toEqual(repeat('created', 20))
  expect(masters(reset)).toHaveLength(20)
  expect(resumed.map(({ status }) => status)).toEqual(repeat('resumed', 20))
  expect(masters(resumed)).toHaveLength(1)
  expect(masters(reset)).toContain(masters(resumed)[0])
  for (const { status } of impatient) expect(['resumed', 'STORE_IN_USE']).toContain(status)

  expect(await integrity(store)).toBe('ok')
  expect(readdirSync(store)).toEqual([DATABASE])
})

interface Call {
  status: string
  master?: string
}

const repeat = (status: string, times: number) => Array<string>(times).fill(status)
const masters = (calls: Call[]) => [...new Set(calls.map(({ master }) => master))]
