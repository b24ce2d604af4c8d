'use strict'

// The results as a picture: one bar per contender, with a line from the fastest round to the slowest.

const { names: allNames } = require('./contenders')
const { title } = require('./report')
const { summary } = require('./statistics')

/**
 * @typedef {import('./contenders').Name | 'inMemory'} Name
 * @typedef {ReturnType<typeof summary>} Figures
 */

const WIDTH = 760
const MARGIN = 24
const LABELS = 220
const BAR = 22
const ROW = 34
const VALUES = 120 // room for the figures behind the longest bar

// Readable on its own light card, whatever the page around it looks like.
const STYLE = `
  text { font: 14px -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }
  .card { fill: #ffffff; stroke: #d1d9e0 }
  .title { font-size: 17px; font-weight: 600 }
  .panel { font-weight: 600 }
  .note { font-size: 12px; fill: #59636e }
  .label { text-anchor: end }
  .bar { fill: #a5b1bd }
  .ours { fill: #0969da }
  .memory { fill: #d8dee4 }
  .spread { stroke: #1f2328; stroke-width: 1.5 }
`

/** @type {Partial<Record<Name, string>>} */
const CLASSES = { addon: 'ours', inMemory: 'memory' }

/** @param {string} text */
const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

/**
 * @param {number} x
 * @param {number} y
 * @param {string} content
 * @param {string} [kind]
 */
const text = (x, y, content, kind = '') => `<text x="${x}" y="${y}" class="${kind}">${escape(content)}</text>`

/**
 * @param {Name} name
 * @param {Figures} figures
 * @param {number} y
 * @param {number} scale
 */
function bar(name, { median, min, max, ratio }, y, scale) {
  const x = MARGIN + LABELS
  const middle = y + BAR / 2
  const kind = CLASSES[name] ?? 'bar'
  /** @param {number} value */
  const at = (value) => (x + value * scale).toFixed(1)
  const share = name === 'sidecar' ? '' : ` · ${ratio.toFixed(2)}×`
  return [
    text(x - 10, middle + 5, title(name), 'label'),
    `<rect x="${x}" y="${y}" width="${(median * scale).toFixed(1)}" height="${BAR}" rx="3" class="${kind}"/>`,
    `<line x1="${at(min)}" y1="${middle}" x2="${at(max)}" y2="${middle}" class="spread"/>`,
    text(Number(at(max)) + 8, middle + 5, `${median.toFixed(1)} ms${share}`),
  ].join('\n')
}

/** @param {import('./report').Results} results */
function plot({ cores, missing, places: [place], sizes }) {
  if (!place) throw new Error('there are no results')
  /** @type {Name[]} */
  const names = [...allNames.filter((name) => !missing[name]), 'inMemory']
  /** @param {import('./statistics').Round[]} rounds */
  const bars = (rounds) => names.map((name) => ({ name, figures: summary(rounds, name, 'sidecar') }))
  const panels = [
    { heading: 'One after another', bars: bars(place.sequential) },
    { heading: `${sizes.atOnce.count.toLocaleString('en-US')} at once`, bars: bars(place.atOnce) },
  ]

  // One scale for both panels: what is faster at once shows at a glance.
  const longest = Math.max(...panels.flatMap(({ bars }) => bars.map(({ figures }) => figures.max)))
  const scale = (WIDTH - 2 * MARGIN - LABELS - VALUES) / longest

  const drawn = []
  let y = 88
  for (const { heading, bars } of panels) {
    drawn.push(text(MARGIN, y + 4, heading, 'panel'))
    y += 16
    for (const { name, figures } of bars) {
      drawn.push(bar(name, figures, y, scale))
      y += ROW
    }
    y += 30
  }

  const note =
    `new stores on ${place.name}, ${cores} cores; median, line from the fastest round to the slowest, ` +
    'share of a process per ghost'

  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y - 8}" width="${WIDTH}" height="${y - 8}" role="img">
<title>Milliseconds per ghost</title>
<style>${STYLE}</style>
<rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${y - 9}" rx="8" class="card"/>
${text(MARGIN, 36, 'Milliseconds per ghost; shorter is better', 'title')}
${text(MARGIN, 57, note, 'note')}
${drawn.join('\n')}
</svg>
`
}

module.exports = { plot }
