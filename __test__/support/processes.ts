// Starts the processes of the tests. Those that still run after a test file are ended, each by its own ID.

import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process'
import { join } from 'node:path'

export const ROOT = join(__dirname, '..', '..')
export const COMMAND = join(ROOT, 'bin', 'rust-crypto-helper.js')

export interface Finished {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

const running = new Set<ChildProcess>()

afterAll(() => {
  for (const child of running) child.kill('SIGKILL')
})

export function start(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv = {},
  options: SpawnOptions = {},
): ChildProcess {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: 'pipe', ...options })
  running.add(child)
  return child
}

export function finish(child: ChildProcess): Promise<Finished> {
  const output = { stdout: '', stderr: '' }
  child.stdout?.on('data', (data: Buffer) => (output.stdout += data.toString()))
  child.stderr?.on('data', (data: Buffer) => (output.stderr += data.toString()))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      running.delete(child)
      resolve({ code, signal, ...output })
    })
  })
}

/** Starts a Node.js process that runs JavaScript with `bootstrapCrossSigning` in scope. */
export function startScript(script: string, env?: NodeJS.ProcessEnv, options?: SpawnOptions): ChildProcess {
  const prelude = `const { bootstrapCrossSigning } = require(${JSON.stringify(ROOT)});`
  return start(process.execPath, ['-e', prelude + script], env, options)
}

export function runScript(
  script: string,
  env?: NodeJS.ProcessEnv,
  options?: SpawnOptions,
): Promise<Finished> {
  return finish(startScript(script, env, options))
}

/** Waits for the first output of a process. */
export function printed(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.stdout?.once('data', (data: Buffer) => {
      resolve(data.toString())
    })
    child.once('close', (code, signal) => {
      reject(new Error(`it ended with ${String(code ?? signal)} before it printed anything`))
    })
  })
}

export function runCommand(args: string[], env?: NodeJS.ProcessEnv): Promise<Finished> {
  return finish(start(process.execPath, [COMMAND, ...args], env))
}
