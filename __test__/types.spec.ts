// Promise: index.d.ts types everything; what is wrong does not compile.

import { join } from 'node:path'
import ts from 'typescript'
import { ROOT } from './support/processes'

/** TypeScript's own declarations, parsed once. */
const libraries = new Map<string, ts.SourceFile>()

/** What `tsc --strict` says to a caller's file in this package's folder. */
function diagnostics(source: string): string[] {
  const file = join(ROOT, 'caller.mts')
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.Node16,
    types: [],
  }
  const host = ts.createCompilerHost(options)
  const [getSourceFile, fileExists] = [host.getSourceFile.bind(host), host.fileExists.bind(host)]
  const text = `import { bootstrapCrossSigning, verifyPublished } from 'rust-crypto-helper'\n${source}`
  host.getSourceFile = (name, ...rest) => {
    if (name === file) return ts.createSourceFile(name, text, rest[0])
    const parsed = libraries.get(name) ?? getSourceFile(name, ...rest)
    if (parsed) libraries.set(name, parsed)
    return parsed
  }
  host.fileExists = (name) => name === file || fileExists(name)
  const program = ts.createProgram([file], options, host)
  return ts
    .getPreEmitDiagnostics(program)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
}

/** An answer of a homeserver, as callers have them. */
const answered = `import type { KeysQueryAnswer } from 'rust-crypto-helper'
declare const serverKeys: KeysQueryAnswer\n`

const call = (rest = '') => `const payloads = await bootstrapCrossSigning('@a:b', 'D', 'store'${rest})\n`

test.each([
  `${call()} const keys: Record<string, string> = payloads.upload_keys.master_key.keys`,
  `${call()} const created: boolean = payloads.status === 'created'`,
  `${call()} const id: string | undefined = payloads.upload_device_keys?.device_keys.device_id`,
  `${call()} const body: string = JSON.stringify({ ...payloads.upload_keys, auth: { type: 'm.login.dummy' } })`,
  `${call()} const signature: string = payloads.upload_signatures['@a:b']!['D']!.signatures['@a:b']!['ed25519:D']!`,
  call(", { passphrase: 'secret', reset: true, busyTimeout: 0 }"),
  call(', {}'),
  `${answered}${call(', { serverKeys }')} const first: 'upload_device_keys' | 'upload_keys' | 'upload_signatures' | undefined = payloads.missing?.[0]`,
  `${answered}${call(', { serverKeys }')} const words: string[] = payloads.warnings?.map(({ code, message }) => code satisfies 'DEVICE_KEYS_DIFFER' && message) ?? []`,
  `${call()} const done: boolean = payloads.status === 'published'`,
  call(", { serverKeys: { device_keys: { '@a:b': {} }, failures: {} } }"),
  `${answered} const device: object | undefined = serverKeys.device_keys?.['@a:b']?.['D']`,
  `${answered} const verdict = verifyPublished('@a:b', 'D', serverKeys)
   const text: string = verdict.verified ? verdict.master_key : verdict.problem + verdict.message`,
  `${answered} const verdict = verifyPublished('@a:b', 'D', serverKeys)
   const problems: Record<Extract<typeof verdict, { verified: false }>['problem'], 0> = { NO_DEVICE: 0, NO_MASTER_KEY: 0,
     NO_SELF_SIGNING_KEY: 0, ID_MISMATCH: 0, SELF_SIGNING_KEY_NOT_SIGNED: 0, DEVICE_NOT_SIGNED: 0, BAD_SIGNATURE: 0 }`,
])('compiles: %s', (source) => {
  expect(diagnostics(source)).toEqual([])
})

test.each([
  ['a misspelt option', call(", { passphras: 'secret' }"), /'passphras' does not exist/],
  ['an option of the wrong type', call(', { reset: 1 }'), /'number' is not assignable to type 'boolean/],
  ['a missing argument', "await bootstrapCrossSigning('@a:b', 'D')", /Expected 3-4 arguments/],
  ['a user ID that is a number', "await bootstrapCrossSigning(1, 'D', 's')", /'number' is not assignable/],
  ['a misspelt payload', `${call()} payloads.uploadKeys`, /'uploadKeys' does not exist/],
  ['a status that is none', `${call()} payloads.status === 'done'`, /no overlap/],
  [
    'a payload used as any',
    `${call()} const n: number = payloads.upload_keys.master_key.usage`,
    /not assignable/,
  ],
  ['a missing upload that is none', `${call()} payloads.missing?.includes('upload')`, /not assignable/],
  ['an answer that is text', call(", { serverKeys: '{}' }"), /'string' has no properties in common/],
  [
    'an answer of another kind',
    call(', { serverKeys: { one_time_keys: {} } }'),
    /'one_time_keys' does not exist/,
  ],
  [
    'a verdict not looked at',
    `${answered} verifyPublished('@a:b', 'D', serverKeys).master_key`,
    /'master_key' does not exist/,
  ],
  [
    'a problem that is none',
    `${answered} const verdict = verifyPublished('@a:b', 'D', serverKeys)
     if (!verdict.verified) verdict.problem === 'NONE'`,
    /no overlap/,
  ],
  ['a verdict without an answer', "verifyPublished('@a:b', 'D')", /Expected 3 arguments/],
  [
    'device keys taken for granted',
    `${call()} payloads.upload_device_keys.device_keys`,
    /possibly 'undefined'/,
  ],
])('does not compile: %s', (_, source, message) => {
  expect(diagnostics(source).join('\n')).toMatch(message)
})
