'use strict'

// Writes what the package consists of into .package/sbom, in the CycloneDX format: the crates that the addon is
// built from, for all platforms, and the packages that npm installs with it. Both files belong to a release. It needs
// cargo. cargo-cyclonedx is installed from crates.io into .package.

const { execFileSync } = require('node:child_process')
const { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { name, version } = require('../package.json')

const CARGO_CYCLONEDX = 'cargo-cyclonedx@0.5.9'
const SPECIFICATION = '1.5'

/**
 * @typedef {{ name: string, version: string, 'bom-ref': string }} Component
 * @typedef {{ ref: string, dependsOn?: string[] }} Dependency
 * @typedef {{ components: Component[], dependencies: Dependency[] }} Sbom
 */

const root = join(__dirname, '..')
const tools = join(root, '.package', 'cargo')
const folder = join(root, '.package', 'sbom')

/**
 * @param {string} command
 * @param {string[]} args
 */
function output(command, args, cwd = root) {
  return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
}

/**
 * An SBOM of those components alone that are to be kept.
 *
 * @param {Sbom} sbom
 * @param {(component: Component) => boolean} keep
 * @returns {Sbom}
 */
function filter(sbom, keep) {
  const components = sbom.components.filter(keep)
  const dropped = new Set(
    sbom.components.filter((component) => !keep(component)).map((each) => each['bom-ref']),
  )
  const dependencies = sbom.dependencies
    .filter(({ ref }) => !dropped.has(ref))
    .map(({ ref, dependsOn = [] }) => ({ ref, dependsOn: dependsOn.filter((each) => !dropped.has(each)) }))
  return { ...sbom, components, dependencies }
}

/** @returns {Sbom} */
function crates() {
  output('cargo', ['install', '--quiet', '--locked', '--debug', '--root', tools, CARGO_CYCLONEDX])
  const options = ['--format', 'json', '--spec-version', SPECIFICATION, '--target', 'all', '--quiet']
  output(join(tools, 'bin', 'cargo-cyclonedx'), ['cyclonedx', ...options, '--override-filename', 'crates'])
  const written = join(root, 'crates.json')
  const text = readFileSync(written, 'utf8')
  rmSync(written)
  // Where it was made says nothing about the package.
  const sbom = JSON.parse(text.replaceAll(`file://${root}`, `file:///${name}`))

  // It lists optional crates that nothing switches on, too. cargo knows what is built.
  const tree = ['tree', '--locked', '--target', 'all', '--edges', 'no-dev', '--prefix', 'none', '--no-dedupe']
  const lines = output('cargo', tree).split('\n')
  const built = new Set(lines.map((line) => line.split(' ', 2).join(' ')))
  return filter(sbom, (crate) => built.has(`${crate.name} v${crate.version}`))
}

/** @returns {Sbom} */
function packages() {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  delete manifest.devDependencies
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  const shipped = Object.entries(lock.packages).filter(([path, { dev }]) => path !== '' && !dev)
  const parent = mkdtempSync(join(tmpdir(), 'rust-crypto-helper-sbom-'))
  // npm calls the package by the name of its folder.
  const project = join(parent, name)
  try {
    mkdirSync(project)
    writeFileSync(join(project, 'package.json'), JSON.stringify(manifest))
    const contents = { ...lock, packages: { '': manifest, ...Object.fromEntries(shipped) } }
    writeFileSync(join(project, 'package-lock.json'), JSON.stringify(contents))
    return JSON.parse(output('npm', ['sbom', '--package-lock-only', '--sbom-format', 'cyclonedx'], project))
  } finally {
    rmSync(parent, { recursive: true })
  }
}

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
for (const [kind, sbom] of Object.entries({ crates: crates(), npm: packages() })) {
  const file = join(folder, `${name}-${version}.${kind}.cdx.json`)
  writeFileSync(file, `${JSON.stringify(sbom, null, 2)}\n`)
  console.log(`${file}: ${sbom.components.length} components`)
}
