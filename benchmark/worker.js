'use strict'

// One measurement, in a process of its own, so that memory, threads and handles are of nothing else.
// Takes a job as JSON and prints what it measured as JSON.

const { join } = require('node:path')
const { contenders, processes } = require('./contenders')
const { watch } = require('./gauges')

const { contender, folder, count, inFlight, gauges } = JSON.parse(process.argv[2])
const rejected = {}

async function timed(work) {
  const start = performance.now()
  const value = await work()
  return [performance.now() - start, value]
}

async function bootstrapAll(bootstrap) {
  let next = 0
  async function lane() {
    while (next < count) {
      const ghost = next++
      try {
        // The result is thrown away at once: memory is what the contender takes, not what it gives.
        await bootstrap(`@_ghost_${ghost}:example.org`, 'GHOSTDEVICE', join(folder, String(ghost)))
      } catch (error) {
        const reason = error.code ?? error.message
        rejected[reason] = (rejected[reason] ?? 0) + 1
      }
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
}

async function main() {
  const [load, bootstrap] = await timed(() => contenders[contender].load())
  // The first call starts threads and makes the template, once per process: a figure of its own.
  const [first] = await timed(() => bootstrap('@_first:example.org', 'GHOSTDEVICE', join(folder, 'first')))

  const stop = gauges && watch(processes)
  const [all] = await timed(() => bootstrapAll(bootstrap))
  const peaks = stop && stop()
  console.log(JSON.stringify({ load, first, perGhost: all / count, rejected, peaks }))
}

main()
