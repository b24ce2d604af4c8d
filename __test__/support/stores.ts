// Stores in temporary folders, and what the operating system says about them.

import { mkdtempSync, readdirSync, readlinkSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const DATABASE = 'matrix-sdk-crypto.sqlite3'
export const USER_ID = '@_ghost:example.org'
export const DEVICE_ID = 'GHOSTDEVICE'

const folders: string[] = []

/** A new empty folder, removed after the test file. */
export function temporaryFolder(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'rust-crypto-helper-test-')))
  folders.push(folder)
  return folder
}

afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** The files in a folder that this process has open, also those that are deleted. */
export function openHandles(folder: string): string[] {
  return readdirSync('/proc/self/fd')
    .map((handle) => {
      try {
        return readlinkSync(join('/proc/self/fd', handle))
      } catch {
        return '' // the handle of this listing itself
      }
    })
    .filter((file) => file === folder || file.startsWith(`${folder}/`))
}

/** Tests that read /proc run on Linux. On other systems they are skipped. */
export const itOnLinux = process.platform === 'linux' ? it : it.skip

/** Tests with permissions, symbolic links or programs that are scripts. On Windows they are skipped. */
export const itOnUnix = process.platform === 'win32' ? it.skip : it
