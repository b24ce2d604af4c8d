'use strict'

// What a process takes from its host while it works.

const { readFileSync, readdirSync } = require('node:fs')
const { monitorEventLoopDelay } = require('node:perf_hooks')
const { clearInterval, setInterval } = require('node:timers')

/**
 * @typedef {object} Usage All 0 where there is no /proc.
 * @property {number} memory In bytes, at its peak.
 * @property {number} threads
 * @property {number} handles
 *
 * @typedef {object} Delays Of the event loop, in ms. All 0 where there was nothing to wait for.
 * @property {number} p50
 * @property {number} p99
 * @property {number} max
 *
 * @typedef {Usage & Delays} Gauges
 */

const INTERVAL = 10 // ms
const RESOLUTION = 1 // ms

/**
 * Starts watching this process and those whose IDs are in `others`, which may change. The function
 * that it returns stops, and says the peaks.
 *
 * @param {Set<number>} others
 */
function watch(others) {
  let peaks = { memory: 0, threads: 0, handles: 0 }
  const look = () => {
    const { memory, threads, handles } = usage([process.pid, ...others])
    peaks = {
      memory: Math.max(peaks.memory, memory),
      threads: Math.max(peaks.threads, threads),
      handles: Math.max(peaks.handles, handles),
    }
  }
  const timer = setInterval(look, INTERVAL)
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION })
  delay.enable()
  /** @returns {Gauges} */
  return () => {
    delay.disable()
    clearInterval(timer)
    look()
    const [p50, p99, max] = [delay.percentile(50), delay.percentile(99), delay.max]
    return { ...peaks, p50: p50 / 1e6, p99: p99 / 1e6, max: max / 1e6 }
  }
}

/**
 * Of several processes together: one per ghost is not free because it is not the caller.
 *
 * @param {number[]} processes
 */
function usage(processes) {
  const sum = { memory: 0, threads: 0, handles: 0 }
  for (const { memory, threads, handles } of processes.map(usageOf)) {
    sum.memory += memory
    sum.threads += threads
    sum.handles += handles
  }
  return sum
}

/**
 * @param {number} pid
 * @returns {Usage}
 */
function usageOf(pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return {
      memory: field(status, 'VmHWM') * 1024,
      threads: field(status, 'Threads'),
      handles: readdirSync(`/proc/${pid}/fd`).length,
    }
  } catch {
    // It has ended, or this system has no /proc.
    return { memory: 0, threads: 0, handles: 0 }
  }
}

/**
 * @param {string} status
 * @param {string} name
 */
function field(status, name) {
  const [, value] = new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status) ?? []
  if (value === undefined) throw new Error(`no ${name}`) // a zombie has no memory
  return Number(value)
}

module.exports = { INTERVAL, RESOLUTION, watch }
