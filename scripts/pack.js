'use strict'

// Packs what is published into .package/tarballs: a package for each platform whose binary lies
// here, and the main package, which asks for all of them at its own version. The package test
// installs these tarballs and a release publishes them; with --all, no binary may be missing.

const { execFileSync } = require('node:child_process')
const {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')

/**
 * @typedef {object} Manifest What a package.json says.
 * @property {string} name
 * @property {string} version
 * @property {string} main
 * @property {string[]} files
 *
 * @typedef {object} Tarball What `npm pack` says of a tarball.
 * @property {string} name
 * @property {string} filename
 * @property {number} size
 * @property {string} integrity
 * @property {{ path: string }[]} files
 *
 * @typedef {Tarball & { manifest: Manifest, path: string }} Packed
 * @typedef {Packed | { manifest: Manifest, filename?: never, integrity?: never, path?: never }} Package
 */

const root = join(__dirname, '..')
const tarballs = join(root, '.package', 'tarballs')
const shell = process.platform === 'win32'

/**
 * @param {string} folder
 * @returns {Manifest}
 */
function readManifest(folder) {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
}

/**
 * @param {string} folder
 * @returns {Packed}
 */
function npmPack(folder) {
  const args = ['pack', '--json', '--pack-destination', tarballs]
  const [packed] = JSON.parse(
    execFileSync('npm', args, { cwd: folder, encoding: 'utf8', shell, stdio: 'pipe' }),
  )
  return { ...packed, manifest: readManifest(folder), path: join(tarballs, packed.filename) }
}

/**
 * A package's folder as it would be in the npm/ of napi-rs's layout, with its binary if that is here.
 *
 * @param {string} folder
 * @returns {Package}
 */
function packPlatform(folder) {
  const manifest = readManifest(folder)
  const binary = join(root, manifest.main)
  if (!existsSync(binary)) return { manifest }
  cpSync(binary, join(folder, manifest.main))
  cpSync(join(root, 'LICENSE'), join(folder, 'LICENSE'))
  return npmPack(folder)
}

/** Every package, the main one last; one that was not packed has no `path`. */
function pack() {
  rmSync(tarballs, { recursive: true, force: true })
  mkdirSync(tarballs, { recursive: true })
  const stage = mkdtempSync(join(tmpdir(), 'rust-crypto-helper-pack-'))
  try {
    const manifest = readManifest(root)
    for (const file of ['LICENSE', 'README.md', ...manifest.files])
      cpSync(join(root, file), join(stage, file), { recursive: true })
    cpSync(join(root, 'package.json'), join(stage, 'package.json'))
    execFileSync('npx', ['napi', 'create-npm-dirs', '--cwd', stage], { cwd: root, shell, stdio: 'pipe' })

    const npm = join(stage, 'npm')
    const platforms = readdirSync(npm).map((name) => packPlatform(join(npm, name)))
    const optionalDependencies = Object.fromEntries(
      platforms.map((platform) => [platform.manifest.name, manifest.version]),
    )
    // What only this repository needs stays here.
    const published = { scripts: undefined, devDependencies: undefined, napi: undefined, prettier: undefined }
    const contents = JSON.stringify({ ...manifest, ...published, optionalDependencies }, null, 2)
    writeFileSync(join(stage, 'package.json'), contents)
    return [...platforms, npmPack(stage)]
  } finally {
    rmSync(stage, { recursive: true })
  }
}

module.exports = { pack }

if (require.main === module) {
  const packages = pack()
  for (const { manifest, path } of packages) console.log(path ?? `no binary for ${manifest.name}`)
  if (process.argv.includes('--all') && !packages.every(({ path }) => path)) process.exitCode = 1
}
