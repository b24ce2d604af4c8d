'use strict'

// A Debian in a folder. It has what this system lacks: a Rust with its source, the C libraries of the other
// platforms, and an emulator.

const { execFileSync } = require('node:child_process')
const { existsSync, readFileSync, realpathSync, rmSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { folder, root } = require('./places.js')

const SUITE = 'sid' // the only one with Rust 1.93 or newer
const PACKAGES = [
  ...['cargo', 'rustc', 'rust-src'],
  ...['libc6:arm64', 'libstdc++6:arm64', 'musl', 'musl:arm64'],
  ...['python3', 'qemu-user'],
]
const APT = `Acquire::Check-Valid-Until "false";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
`

/** Where its programs are. */
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

const debian = join(folder, 'debian')
const marker = join(debian, 'installed.txt')
const installed = [SUITE, ...PACKAGES].join('\n')

/** The folders that programs in there see as they are here. The certificates are those that this system trusts. */
function sharedFolders() {
  return new Set(['/dev', '/etc/ssl/certs', root, realpathSync(join(root, 'node_modules'))])
}

/**
 * Runs a command with the repository as its working directory. Returns its output.
 *
 * @param {string[]} command
 * @param {NodeJS.ProcessEnv} env
 * @param {'pipe' | 'inherit'} stderr
 */
function inDebian(command, env = {}, stderr = 'pipe') {
  const mounted = [join(__dirname, 'in-debian.sh'), debian, ...sharedFolders(), '--']
  return execFileSync('unshare', ['--mount', 'sh', ...mounted, 'env', `--chdir=${root}`, ...command], {
    encoding: 'utf8',
    maxBuffer: 1e8,
    stdio: ['ignore', 'pipe', stderr],
    env: { ...process.env, PATH, HOME: '/root', TMPDIR: '/tmp', ...env },
  })
}

/** Makes the Debian, unless it is there with just these packages. */
function makeDebian() {
  if (existsSync(marker) && readFileSync(marker, 'utf8') === installed) return
  console.log('Making a Debian in .platforms: about 3 GB ...')
  rmSync(debian, { recursive: true, force: true })
  execFileSync('debootstrap', ['--variant=minbase', '--include=ca-certificates', SUITE, debian], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  writeFileSync(join(debian, 'etc', 'apt', 'apt.conf.d', 'platforms'), APT)
  // Nobody needs this folder after a power cut.
  writeFileSync(join(debian, 'etc', 'dpkg', 'dpkg.cfg.d', 'platforms'), 'force-unsafe-io\n')
  inDebian(['dpkg', '--add-architecture', 'arm64'])
  inDebian(['apt-get', 'update'])
  inDebian(['apt-get', 'install', '--yes', ...PACKAGES], { DEBIAN_FRONTEND: 'noninteractive' })
  writeFileSync(marker, installed)
}

module.exports = { PATH, inDebian, makeDebian }
