'use strict'

// Packs the packages and installs them into projects of strangers, from a registry on the loopback
// interface, and uses them there with everything that the documentation promises. It needs no Rust, only the
// binary. With --unit-tests: runs the unit tests on every Node.js line instead.

const { mkdirSync, rmSync } = require('node:fs')
const { join } = require('node:path')
const { pack } = require('./pack.js')
const { sections } = require('./package/bundlers-page.js')
const { check, expectEqual, hide, summarize } = require('./package/check.js')
const { testBundlers } = require('./package/checks/bundlers.js')
const { testCompilers } = require('./package/checks/compilers.js')
const { testHosts } = require('./package/checks/hosts.js')
const { testInstalled } = require('./package/checks/installed.js')
const { testPackageManagers } = require('./package/checks/package-managers.js')
const { testRestrictions } = require('./package/checks/restrictions.js')
const { testRuntimes } = require('./package/checks/runtimes.js')
const { testTarballs } = require('./package/checks/tarballs.js')
const { testTestRunners } = require('./package/checks/test-runners.js')
const { testTwoCopies } = require('./package/checks/two-copies.js')
const { testUnits } = require('./package/checks/unit-tests.js')
const { serveHomeserver } = require('./package/homeserver.js')
const { folder, projects, stores } = require('./package/places.js')
const { Project } = require('./package/project.js')
const { configuredRegistry, serveRegistry } = require('./package/registry.js')
const { downloadShipped } = require('./package/shipped.js')
const { installTools } = require('./package/tools.js')

/** The sections of docs/bundlers.md whose commands the checks run. */
const DOCUMENTED = [
  'npm',
  'pnpm',
  'Yarn',
  'esbuild',
  'ncc',
  'Permission model',
  'Other ways to start Node.js',
]

async function testPackage() {
  for (const path of [projects, stores, join(folder, 'jest')]) rmSync(path, { recursive: true, force: true })
  const packages = pack()
  const upstream = configuredRegistry()
  hide(upstream)
  const registry = await serveRegistry([...packages, ...downloadShipped()])
  const wholeRegistry = await serveRegistry(packages, upstream)
  const homeserver = await serveHomeserver()

  const project = new Project(join(projects, 'project'), { registry, homeserver })
  await testTarballs(packages)
  await testInstalled(project)
  await testCompilers(project)
  await testTestRunners(project)
  await testRuntimes(project)
  await testTwoCopies(project)
  await testPackageManagers(registry)
  await testBundlers(registry)
  await testRestrictions(registry)
  await check('all commands of docs/bundlers.md were run', () => {
    expectEqual(sections, DOCUMENTED)
  })
  await testHosts({ registry: wholeRegistry, homeserver }, packages)

  for (const server of [registry, wholeRegistry, homeserver]) server.close()
}

async function main() {
  const report = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (process.report?.getReport())
  if (process.platform !== 'linux' || process.arch !== 'x64' || !report.header.glibcVersionRuntime) {
    console.error('\n!! THE PACKAGE TEST DID NOT RUN: it needs Linux x64 with glibc.\n')
    // Where nobody reads along, what was not tested must not pass for tested.
    process.exitCode = process.env.CI ? 1 : 0
    return
  }
  mkdirSync(folder, { recursive: true })
  installTools()
  await (process.argv.includes('--unit-tests') ? testUnits() : testPackage())
  process.exitCode = summarize() ? 0 : 1
}

void main()
