'use strict'

/**
 * @typedef {object} Platform
 * @property {string} name As at the end of its package's name.
 * @property {string} target As Rust calls it.
 * @property {string} wheel As PyPI calls it, where its Node.js comes from.
 * @property {string} [emulator] What runs its programs here. Without it they run as they are.
 */

/** @type {Platform[]} */
const PLATFORMS = [
  { name: 'linux-x64-musl', target: 'x86_64-unknown-linux-musl', wheel: 'musllinux_1_2_x86_64' },
  {
    name: 'linux-arm64-gnu',
    target: 'aarch64-unknown-linux-gnu',
    wheel: 'manylinux_2_28_aarch64',
    emulator: '/usr/bin/qemu-aarch64',
  },
  {
    name: 'linux-arm64-musl',
    target: 'aarch64-unknown-linux-musl',
    wheel: 'musllinux_1_2_aarch64',
    emulator: '/usr/bin/qemu-aarch64',
  },
]

module.exports = { PLATFORMS }
