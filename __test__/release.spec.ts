// Promise: a release publishes the main package last, only what is complete and right, and can be run again if it was
// interrupted.

import { once } from 'node:events'
import { copyFileSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { type Finished, finish, ROOT, start } from './support/processes'
import { itOnLinux, temporaryFolder } from './support/stores'

const VERSION = '1.2.3'
const MAIN = 'rust-crypto-helper'
const PLATFORMS = ['rust-crypto-helper-darwin-arm64', 'rust-crypto-helper-linux-x64-gnu']
const TARGETS = ['aarch64-apple-darwin', 'x86_64-unknown-linux-gnu']
const BINARIES = ['rust-crypto-helper.darwin-arm64.node', 'rust-crypto-helper.linux-x64-gnu.node']

/** What `npm publish` sends. */
interface Upload {
  name: string
  'dist-tags': Record<string, string>
  access: string
  versions: Record<string, { optionalDependencies?: Record<string, string> }>
}

/** A registry that keeps what is published, and refuses a package if a test says so. */
class Registry {
  readonly uploads: Upload[] = []
  refused = ''
  #server: Server

  constructor() {
    this.#server = createServer((request, response) => {
      const name = request.url!.slice(1)
      const upload = this.uploads.find((each) => each.name === name)
      const answer = (status: number, body: object) => response.writeHead(status).end(JSON.stringify(body))
      if (request.method !== 'PUT') return answer(upload ? 200 : 404, upload ?? {})
      if (name === this.refused) return answer(403, {})
      void json(request).then((body) => {
        this.uploads.push(body as Upload)
        answer(201, {})
      })
    })
  }

  async open() {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening')
  }

  get names() {
    return this.uploads.map(({ name }) => name)
  }

  get env() {
    const host = `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
    return {
      npm_config_registry: `http://${host}/`,
      [`npm_config_//${host}/:_authToken`]: 'token',
      npm_config_cache: temporaryFolder(),
    }
  }

  close() {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

/** What is released of this repository, for two platforms, at another version. */
class Repository {
  readonly folder = temporaryFolder()
  #registry

  constructor(registry: Registry) {
    this.#registry = registry
    for (const name of [
      'scripts',
      'bin',
      'dist',
      'publisher',
      'LICENSE',
      'README.md',
      'index.js',
      'index.d.ts',
    ])
      cpSync(join(ROOT, name), join(this.folder, name), { recursive: true })
    for (const name of ['package.json', 'package-lock.json', 'Cargo.toml', 'Cargo.lock', 'CHANGELOG.md'])
      copyFileSync(join(ROOT, name), join(this.folder, name))
    symlinkSync(join(ROOT, 'node_modules'), join(this.folder, 'node_modules'))
    for (const name of BINARIES) writeFileSync(join(this.folder, name), name)
    const { version } = JSON.parse(this.read('package.json')) as { version: string }
    // A lock file of npm has the version twice.
    for (const name of ['package.json', 'package-lock.json', 'package-lock.json'])
      this.replace(name, `"version": "${version}"`, `"version": "${VERSION}"`)
    for (const name of ['Cargo.toml', 'Cargo.lock'])
      this.replace(
        name,
        `"rust-crypto-helper"\nversion = "${version}"`,
        `"rust-crypto-helper"\nversion = "${VERSION}"`,
      )
    this.replace('package.json', /"targets": \[[^\]]*\]/, `"targets": ${JSON.stringify(TARGETS)}`)
    this.replace('CHANGELOG.md', '## [Unreleased]', `## [Unreleased]\n\n## [${VERSION}] - 2030-01-01`)
  }

  read(name: string) {
    return readFileSync(join(this.folder, name), 'utf8')
  }

  replace(name: string, old: string | RegExp, text: string) {
    const contents = this.read(name)
    expect(contents).toMatch(old)
    writeFileSync(join(this.folder, name), contents.replace(old, text))
  }

  run(script: string, ...args: string[]): Promise<Finished> {
    const path = join(this.folder, 'scripts', script)
    return finish(start(process.execPath, [path, ...args], this.#registry.env, { cwd: this.folder }))
  }

  /** Provenance needs the identity of a workflow. */
  publish(...args: string[]) {
    return this.run('publish.js', '--provenance=false', ...args)
  }
}

let registry: Registry
let repository: Repository

beforeEach(async () => {
  registry = new Registry()
  await registry.open()
  repository = new Repository(registry)
})

afterEach(() => {
  registry.close()
})

itOnLinux('an interrupted release is finished by running it again', async () => {
  registry.refused = PLATFORMS[1]!
  const interrupted = await repository.publish()
  expect(interrupted.code).toBe(1)
  expect(registry.names).toEqual([PLATFORMS[0]])

  registry.refused = ''
  const finished = await repository.publish()
  expect(finished).toMatchObject({ code: 0, stderr: '' })
  expect(finished.stdout).toContain(`${PLATFORMS[0]} ${VERSION} is published already`)
  expect(registry.names).toEqual([...PLATFORMS, MAIN])
  for (const upload of registry.uploads) {
    expect(upload).toMatchObject({ 'dist-tags': { latest: VERSION }, access: 'public' })
    expect(Object.keys(upload.versions)).toEqual([VERSION])
  }
  const { optionalDependencies } = registry.uploads.at(-1)!.versions[VERSION]!
  expect(optionalDependencies).toEqual(Object.fromEntries(PLATFORMS.map((name) => [name, VERSION])))
})

itOnLinux('nothing is published if a binary is missing, and nothing by a dry run', async () => {
  // A pre-release is for those who ask for it.
  repository.replace('package.json', `"version": "${VERSION}"`, `"version": "${VERSION}-rc.1"`)
  repository.replace('package.json', TARGETS[0]!, 'x86_64-pc-windows-msvc')
  const { code, stderr } = await repository.publish()
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: 'nothing is published, because there is no binary for rust-crypto-helper-win32-x64-msvc\n',
  })
  const dryRun = await repository.publish('--dry-run')
  expect(dryRun.code).toBe(0)
  expect(dryRun.stdout).toMatch(
    /^rust-crypto-helper-linux-x64-gnu 1\.2\.3-rc\.1 can be published as next: 4 files/m,
  )
  expect(dryRun.stdout).toMatch(/^rust-crypto-helper 1\.2\.3-rc\.1 can be published as next: \d+ files/m)
  expect(dryRun.stdout).toMatch(/^rust-crypto-helper-win32-x64-msvc is left out/m)
  expect(registry.names).toEqual([])
})

itOnLinux('nothing is published if a package has a file that does not belong there', async () => {
  mkdirSync(join(repository.folder, 'dist', 'stray'))
  writeFileSync(join(repository.folder, 'dist', 'stray', 'file.js'), '')
  const { code, stderr } = await repository.publish()
  expect(code).toBe(1)
  expect(stderr).toContain('dist/stray/file.js')
  expect(registry.names).toEqual([])
})

describe('the versions of a release', () => {
  const CRATE = `"rust-crypto-helper"\nversion = "${VERSION}"`

  itOnLinux('are compared, and its notes are found', async () => {
    const notes = join(repository.folder, 'notes.md')
    const checked = await repository.run('check-version.js', `v${VERSION}`, notes)
    expect(checked).toMatchObject({ code: 0, stderr: '' })
    expect(readFileSync(notes, 'utf8')).toMatch(/^### Added\n/)
    expect(readFileSync(notes, 'utf8')).not.toMatch(/^## /m)
  })

  itOnLinux.each([
    ['package-lock.json', /"version": "1\.2\.3"/, '"version": "1.2.2"', 'package-lock.json has 1.2.2\n'],
    ['Cargo.toml', CRATE, CRATE.replace('3', '2'), 'Cargo.toml has 1.2.2\n'],
    ['Cargo.lock', CRATE, CRATE.replace('3', '2'), 'Cargo.lock has 1.2.2\n'],
    ['CHANGELOG.md', '## [1.2.3]', '## [1.2.2]', 'CHANGELOG.md has nothing under [1.2.3]\n'],
    ['package.json', '"version": "1.2.3"', '"version": "1.2.4"', 'the tag has 1.2.3\n'],
  ])('must agree: %s', async (name, old, text, message) => {
    repository.replace(name, old, text)
    const { code, stderr } = await repository.run('check-version.js', `v${VERSION}`)
    expect(code).toBe(1)
    expect(stderr).toContain(message)
  })
})
