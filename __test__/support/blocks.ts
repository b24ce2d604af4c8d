// The code that a page in docs/ prints.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './processes'

export interface Block {
  language: string
  code: string
}

/** All blocks of a page, in order. `page` is a path in docs/. A block in a list is indented, and its code is not. */
export function readBlocks(page: string): Block[] {
  const text = readFileSync(join(ROOT, 'docs', page), 'utf8')
  return Array.from(text.matchAll(/^( *)```(\w*)\n(.*?)^\1```$/gms), ([, indent, language, code]) => ({
    language: language!,
    code: code!.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  }))
}

/** The file that a block is, by the comment in its first line. */
export function fileOf(code: string): string {
  const name = /^\/\/ (\S+\.ts)$/.exec(code.split('\n', 1)[0]!)?.[1]
  if (name === undefined) throw new Error(`a block does not name its file:\n${code}`)
  return name
}
