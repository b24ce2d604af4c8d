// Small disks in memory, for tests with full or read-only disks. They need root, or sudo without a password.

import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from './stores'

const BLOCK = 4096

function asRoot(...command: string[]): void {
  const [program, ...args] = process.getuid?.() === 0 ? command : ['sudo', '-n', ...command]
  const { status, stderr, error } = spawnSync(program!, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command.join(' ')}: ${error?.message ?? stderr}`)
}

export class Disk {
  readonly folder: string
  readonly #ballast: string

  private constructor(options: string) {
    const folder = join(temporaryFolder(), 'disk')
    mkdirSync(folder)
    asRoot('mount', '-t', 'tmpfs', '-o', `${options},mode=777`, 'tmpfs', folder)
    this.folder = folder
    this.#ballast = join(folder, 'ballast')
  }

  /** A disk for one loop. It is unmounted lazily, because a failed test may still use it. */
  static *mounted(options: string): Generator<Disk> {
    const disk = new Disk(options)
    try {
      yield disk
    } finally {
      asRoot('umount', '-l', disk.folder)
    }
  }

  /** The reason why this machine cannot mount such disks, if it cannot. */
  static cannotMount(): string | undefined {
    if (process.platform !== 'linux') return 'only Linux mounts disks in memory'
    try {
      const { folder } = new Disk('size=4k')
      asRoot('umount', folder)
      return undefined
    } catch (error) {
      return `mounting needs root, or sudo without a password (${(error as Error).message.trim()})`
    }
  }

  /** Fills the disk until this many blocks are free. */
  fill(free: number): void {
    writeFileSync(this.#ballast, Buffer.alloc((statfsSync(this.folder).bavail - free) * BLOCK))
  }

  /** Leaves room for this many more files of any size. */
  fillNames(free: number): void {
    mkdirSync(this.#ballast)
    const names = statfsSync(this.folder).ffree - free
    for (let n = 0; n < names; n++) writeFileSync(join(this.#ballast, `${n}`), '')
  }

  readonly free = (): void => {
    rmSync(this.#ballast, { recursive: true, force: true })
  }

  remount(how: 'ro' | 'rw'): void {
    asRoot('mount', '-o', `remount,${how}`, this.folder)
  }
}

/** A second place of a folder, for one loop. */
export function* mountedTwice(folder: string): Generator<string> {
  const place = join(temporaryFolder(), 'place')
  mkdirSync(place)
  asRoot('mount', '--bind', folder, place)
  try {
    yield place
  } finally {
    asRoot('umount', '-l', place)
  }
}
