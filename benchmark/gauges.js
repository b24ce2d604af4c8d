'use strict'

// What a process takes from its host while it works.

const { readFileSync, readdirSync } = require('node:fs')
const { monitorEventLoopDelay } = require('node:perf_hooks')
const { clearInterval, setInterval } = require('node:timers')

const INTERVAL = 10 // ms
const RESOLUTION = 1 // ms

/**
 * Starts watching this process and those whose IDs are in `others`, which may change. The function
 * that it returns stops, and says the peaks.
 */
function watch(others) {
  const peaks = {}
  const look = () => {
    for (const [name, value] of Object.entries(usage([process.pid, ...others]))) {
      peaks[name] = Math.max(peaks[name] ?? 0, value)
    }
  }
  const timer = setInterval(look, INTERVAL)
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION })
  delay.enable()
  return () => {
    delay.disable()
    clearInterval(timer)
    look()
    const [p50, p99, max] = [delay.percentile(50), delay.percentile(99), delay.max]
    return { ...peaks, p50: p50 / 1e6, p99: p99 / 1e6, max: max / 1e6 }
  }
}

/** Of several processes together: one per ghost is not free because it is not the caller. */
function usage(processes) {
  const sum = {}
  for (const pid of processes) {
    for (const [name, value] of Object.entries(usageOf(pid))) sum[name] = (sum[name] ?? 0) + value
  }
  return sum
}

function usageOf(pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const field = (name) => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)[1])
    return {
      memory: field('VmHWM') * 1024,
      threads: field('Threads'),
      handles: readdirSync(`/proc/${pid}/fd`).length,
    }
  } catch {
    return {} // it has ended, or this system has no /proc
  }
}

module.exports = { INTERVAL, RESOLUTION, watch }
