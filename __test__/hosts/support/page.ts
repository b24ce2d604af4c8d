// The code that a page in docs/hosts/ prints. Each block begins with a comment that names its file.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileOf, readBlocks } from '../../support/blocks'
import { ROOT } from '../../support/processes'

export interface Page {
  /** The files of a host as it was. */
  before: Record<string, string>
  /** The same with the change of the page. */
  after: Record<string, string>
}

/** Values of the examples, and what the test has in their place. */
export type Replacements = Record<string, string>

const read = (name: string) => readFileSync(join(ROOT, 'docs', 'hosts', `${name}.md`), 'utf8')

/** What a reader may see, from the table of what can go wrong: the text in code or in quotation marks. */
export function readSymptoms(name: string): string[] {
  const [, table = ''] = read(name).split('\n## What can go wrong\n')
  const rows = table.matchAll(/^\| (?:"(.+?)"|`(.+?)`)/gm)
  return Array.from(rows, ([, quoted, code]) => (quoted ?? code)!)
}

export function readPage(name: string, replacements: Replacements = {}): Page {
  const page: Page = { before: {}, after: {} }
  for (const { language, code } of readBlocks(join('hosts', `${name}.md`))) {
    if (language === 'ts') add(page.after, code, replacements)
    else if (language === 'diff') {
      add(page.before, side(code, '-'), replacements)
      add(page.after, side(code, '+'), replacements)
    } else throw new Error(`no test runs a block of ${language} in ${name}.md`)
  }
  return page
}

/** The lines of a diff that are in one of the two versions. */
function side(diff: string, sign: '-' | '+'): string {
  const lines = diff
    .split('\n')
    .filter((line) => line === '' || line.startsWith(' ') || line.startsWith(sign))
  return lines.map((line) => line.slice(1)).join('\n')
}

function add(files: Record<string, string>, code: string, replacements: Replacements): void {
  const name = fileOf(code)
  if (name in files) throw new Error(`two blocks are ${name}`)
  files[name] = Object.entries(replacements).reduce((text, [from, to]) => text.replaceAll(from, to), code)
}
