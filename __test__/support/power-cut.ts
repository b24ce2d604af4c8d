// A model of a disk on which a power cut loses what was not synced. It promises no more than POSIX:
// a sync of a file saves its content but not its name, and a sync of a folder saves the names in it.

import { createHash } from 'node:crypto'
import { linkSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { type Operation } from './strace'

const SECTOR = 512

type Change = { at: number; bytes: Buffer } | { size: number }
type Names = Map<string, File | Folder>

function resized(content: Buffer, size: number): Buffer {
  return size <= content.length
    ? content.subarray(0, size)
    : Buffer.concat([content, Buffer.alloc(size - content.length)])
}

class File {
  unsynced: Change[] = []

  constructor(public saved: Buffer = Buffer.alloc(0)) {}

  with(changes: Change[]): Buffer {
    if (changes.length === 0) return this.saved
    let content: Buffer = Buffer.from(this.saved)
    for (const change of changes) {
      if ('size' in change) {
        content = resized(content, change.size)
      } else {
        const { at, bytes } = change
        content = resized(content, Math.max(content.length, at + bytes.length))
        bytes.copy(content, at)
      }
    }
    return content
  }

  sync(): void {
    this.saved = this.with(this.unsynced)
    this.unsynced = []
  }
}

class Folder {
  saved: Names = new Map()
  /** Each entry is one step, such as a rename within the folder. */
  unsynced: [name: string, what: File | Folder | undefined][][] = []

  with(changes = this.unsynced): Names {
    const names = new Map(this.saved)
    for (const [name, what] of changes.flat()) {
      if (what) names.set(name, what)
      else names.delete(name)
    }
    return names
  }

  sync(): void {
    this.saved = this.with()
    this.unsynced = []
  }
}

/** What a power cut leaves of the unsynced changes. */
interface Cut {
  cut: string
  names: (folder: Folder) => Folder['unsynced']
  content: (file: File) => Buffer
}

const NO_NAMES: Cut['names'] = () => []
const ALL_NAMES: Cut['names'] = ({ unsynced }) => unsynced
const OLD_CONTENT: Cut['content'] = ({ saved }) => saved
const NEW_CONTENT: Cut['content'] = (file) => file.with(file.unsynced)

const CUTS: Cut[] = [
  { cut: 'nothing unsynced is kept', names: NO_NAMES, content: OLD_CONTENT },
  { cut: 'everything is kept', names: ALL_NAMES, content: NEW_CONTENT },
  { cut: 'names are kept, content is lost', names: ALL_NAMES, content: OLD_CONTENT },
  {
    cut: 'names and sizes are kept, content is lost',
    names: ALL_NAMES,
    content: (file) => resized(file.saved, NEW_CONTENT(file).length),
  },
  { cut: 'content is kept, names are lost', names: NO_NAMES, content: NEW_CONTENT },
]

/** Each folder keeps some of its first changes. Each write is kept, lost, or torn between two sectors. */
function randomCut(random: () => number, cut: string): Cut {
  const likelihood = random()
  return {
    cut,
    names: ({ unsynced }) => unsynced.slice(0, Math.floor(random() * (unsynced.length + 1))),
    content: (file) =>
      file.with(
        file.unsynced.flatMap((change): Change[] => {
          if (random() < likelihood) return [change]
          if ('size' in change || change.bytes.length <= SECTOR || random() < 0.5) return []
          const { at, bytes } = change
          const tear = SECTOR * Math.ceil((random() * (bytes.length - SECTOR)) / SECTOR)
          return random() < 0.5
            ? [{ at, bytes: bytes.subarray(0, tear) }]
            : [{ at: at + tear, bytes: bytes.subarray(tear) }]
        }),
      ),
  }
}

/** What is on the disk after a power cut. */
export class Remains {
  readonly #files: [path: string, file: File, content: Buffer][] = []
  readonly #folders: string[] = []

  constructor(
    root: Folder,
    readonly cut: string,
    { names, content }: Cut,
  ) {
    const contents = new Map<File, Buffer>()
    const visit = (folder: Folder, path: string) => {
      this.#folders.push(path)
      for (const [name, what] of folder.with(names(folder))) {
        if (what instanceof Folder) {
          visit(what, join(path, name))
        } else {
          if (!contents.has(what)) contents.set(what, content(what))
          this.#files.push([join(path, name), what, contents.get(what)!])
        }
      }
    }
    visit(root, '')
  }

  /** Equal remains have equal digests. Of the files in a scratch folder, only the names count. */
  digest(isScratch: (folder: string) => boolean): string {
    const hash = createHash('sha1').update(JSON.stringify([...this.#folders].sort()))
    for (const [path, , content] of this.#files) {
      hash.update(`${path}\0`)
      if (!isScratch(dirname(path))) hash.update(`${content.length}\0`).update(content)
    }
    return hash.digest('hex')
  }

  write(to: string): void {
    const written = new Map<File, string>()
    for (const folder of this.#folders) mkdirSync(join(to, folder), { recursive: true, mode: 0o700 })
    for (const [path, file, content] of this.#files) {
      const other = written.get(file)
      if (other === undefined) writeFileSync(join(to, path), content, { mode: 0o600 })
      else linkSync(other, join(to, path))
      written.set(file, join(to, path))
    }
  }
}

export class ModelDisk {
  readonly #root: Folder

  /** What is in the folder now counts as saved. */
  constructor(folder: string) {
    const load = (path: string): Folder => {
      const loaded = new Folder()
      for (const entry of readdirSync(path, { withFileTypes: true })) {
        const child = join(path, entry.name)
        loaded.saved.set(entry.name, entry.isDirectory() ? load(child) : new File(readFileSync(child)))
      }
      return loaded
    }
    this.#root = load(folder)
  }

  apply(operation: Operation): void {
    const { kind, path } = operation
    const change = (...changes: [path: string, what: File | Folder | undefined][]) => {
      for (const folder of new Set(changes.map(([path]) => dirname(path)))) {
        const inIt = changes.filter(([path]) => dirname(path) === folder)
        this.#folder(folder).unsynced.push(inIt.map(([path, what]) => [basename(path), what]))
      }
    }
    switch (kind) {
      case 'make':
        if (!this.#find(path)) change([path, new File()])
        break
      case 'makeFolder':
        change([path, new Folder()])
        break
      case 'remove':
        change([path, undefined])
        break
      case 'link':
        change([path, this.#find(operation.from)])
        break
      case 'rename':
        change([path, this.#find(operation.from)], [operation.from, undefined])
        break
      case 'write':
      case 'resize':
        ;(this.#find(path) as File).unsynced.push(operation)
        break
      case 'sync':
        this.#find(path)!.sync()
        break
      case 'resolved':
    }
  }

  /** What a power cut may take from a file or folder: names in its path, and its content. */
  unsynced(path: string): string[] {
    const lost: string[] = []
    let [folder, above]: [File | Folder, string] = [this.#root, '']
    for (const name of path.split('/')) {
      const what = (folder as Folder).with().get(name)
      if (!what) throw new Error(`there is no ${path}`)
      above = join(above, name)
      if ((folder as Folder).saved.get(name) !== what) lost.push(`name of ${above}`)
      folder = what
    }
    if (folder instanceof File && folder.unsynced.length > 0) lost.push(`content of ${path}`)
    return lost
  }

  /** What may be left if the power is cut now. */
  *remains(random: () => number, randomCuts: number): Generator<Remains> {
    const cuts = [...CUTS]
    for (let n = 0; n < randomCuts; n++) cuts.push(randomCut(random, `random cut ${n}`))
    for (const cut of cuts) yield new Remains(this.#root, cut.cut, cut)
  }

  #find(path: string): File | Folder | undefined {
    if (path === '' || path === '.') return this.#root
    return this.#folder(dirname(path)).with().get(basename(path))
  }

  #folder(path: string): Folder {
    return this.#find(path) as Folder
  }
}
