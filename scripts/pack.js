'use strict'

// Packs what is published into .package/tarballs: a package for each platform whose binary lies
// here, and the main package, which asks for all of them at its own version. The package test
// installs these tarballs, and a release publishes them.

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
 * @param {string[]} folders
 * @returns {Packed[]}
 */
function npmPack(folders) {
  const args = ['pack', '--json', '--pack-destination', tarballs, ...folders]
  /** @type {Tarball[]} */
  const packed = JSON.parse(execFileSync('npm', args, { cwd: root, encoding: 'utf8', shell, stdio: 'pipe' }))
  return folders.map((folder) => {
    const manifest = readManifest(folder)
    const tarball = packed.find(({ name }) => name === manifest.name)
    if (!tarball) throw new Error(`npm has not packed ${manifest.name}`)
    return { ...tarball, manifest, path: join(tarballs, tarball.filename) }
  })
}

/**
 * Completes the folder of a platform, as napi-rs has made it, if its binary is here. Returns whether it is.
 *
 * @param {string} folder
 */
function complete(folder) {
  const { main } = readManifest(folder)
  const binary = join(root, main)
  if (!existsSync(binary)) return false
  cpSync(binary, join(folder, main))
  cpSync(join(root, 'LICENSE'), join(folder, 'LICENSE'))
  return true
}

/**
 * Every package, the main one last. One that was not packed has no `path`.
 *
 * @returns {Package[]}
 */
function pack() {
  rmSync(tarballs, { recursive: true, force: true })
  mkdirSync(tarballs, { recursive: true })
  const stage = mkdtempSync(join(tmpdir(), 'rust-crypto-helper-pack-'))
  try {
    const manifest = readManifest(root)
    for (const file of ['LICENSE', 'README.md', 'package.json', ...manifest.files])
      cpSync(join(root, file), join(stage, file), { recursive: true })
    execFileSync('npx', ['napi', 'create-npm-dirs', '--cwd', stage], { cwd: root, shell, stdio: 'pipe' })

    const npm = join(stage, 'npm')
    const platforms = readdirSync(npm).map((name) => join(npm, name))
    const optionalDependencies = Object.fromEntries(
      platforms.map((folder) => [readManifest(folder).name, manifest.version]),
    )
    // What only this repository needs stays here.
    const published = { scripts: undefined, devDependencies: undefined, napi: undefined, prettier: undefined }
    const contents = JSON.stringify({ ...manifest, ...published, optionalDependencies }, null, 2)
    writeFileSync(join(stage, 'package.json'), contents)

    const packed = npmPack([...platforms.filter(complete), stage])
    const missing = platforms
      .map(readManifest)
      .filter(({ name }) => !packed.some((each) => each.name === name))
    return [...missing.map((manifest) => ({ manifest })), ...packed]
  } finally {
    rmSync(stage, { recursive: true })
  }
}

module.exports = { pack }
