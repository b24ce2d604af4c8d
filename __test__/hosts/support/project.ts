// A host as its author has it: a folder with TypeScript, compiled strictly against the packages' own types.

import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { finish, type Finished, ROOT, start } from '../../support/processes'
import { temporaryFolder } from '../../support/stores'

const HOSTS = join(ROOT, '__test__', 'hosts', 'node_modules')
const PACKAGES = {
  'rust-crypto-helper': ROOT,
  '@types': join(ROOT, 'node_modules', '@types'),
  ...Object.fromEntries(
    ['@matrix-org', '@vector-im', 'better-sqlite3', 'matrix-appservice-bridge', 'matrix-bot-sdk'].map(
      (name) => [name, join(HOSTS, name)],
    ),
  ),
}

/** The hosts need Node.js 22. */
export const NODE = [
  join(HOSTS, `node-${process.platform}-${process.arch}`, 'bin', 'node'),
  process.execPath,
].find(existsSync)!

const SETTINGS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.Node16,
  moduleResolution: ts.ModuleResolutionKind.Node16,
  strict: true,
  exactOptionalPropertyTypes: true,
  noImplicitOverride: true,
  noUnusedLocals: true,
  esModuleInterop: true,
  skipLibCheck: true,
  types: ['node'],
}

export class Project {
  readonly folder = temporaryFolder()

  /** Neither the files nor the compiled code are removed by the next call. */
  constructor(type: 'module' | 'commonjs' = 'module') {
    mkdirSync(join(this.folder, 'node_modules'))
    for (const [name, target] of Object.entries(PACKAGES))
      symlinkSync(target, join(this.folder, 'node_modules', name))
    writeFileSync(join(this.folder, 'package.json'), JSON.stringify({ type }))
  }

  /** Writes files and compiles them. It throws what the compiler says. */
  write(files: Record<string, string>): void {
    for (const [name, code] of Object.entries(files)) writeFileSync(join(this.folder, name), code)
    const roots = Object.keys(files).map((name) => join(this.folder, name))
    const program = ts.createProgram(roots, { ...SETTINGS, typeRoots: [PACKAGES['@types']] })
    const { diagnostics } = program.emit()
    const problems = [...ts.getPreEmitDiagnostics(program), ...diagnostics]
    if (problems.length > 0) {
      const host = { ...ts.createCompilerHost(SETTINGS), getCurrentDirectory: () => this.folder }
      throw new Error(ts.formatDiagnostics(problems, host))
    }
  }

  /** Runs a compiled file. It throws what the process printed, if that fails. */
  async run(file: string, { args = [], env = {} }: RunOptions = {}): Promise<Finished> {
    const command = ['--no-deprecation', file, ...args]
    const finished = await finish(start(NODE, command, env, { cwd: this.folder }))
    if (finished.code === 0) return finished
    throw new Error(`${file} ended with ${String(finished.code)}:\n${finished.stdout}\n${finished.stderr}`)
  }
}

export interface RunOptions {
  args?: string[]
  env?: NodeJS.ProcessEnv
}
