'use strict'

const { createServer } = require('node:http')

/**
 * @typedef {object} Server
 * @property {string} url
 * @property {() => void} close
 */

/**
 * A server on the loopback interface, on a free port.
 *
 * @param {import('node:http').RequestListener} listener
 * @returns {Promise<Server>}
 */
function serve(listener) {
  const server = createServer(listener)
  const close = () => {
    server.close()
    server.closeAllConnections()
  }
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
      resolve({ url: `http://127.0.0.1:${port}`, close })
    }),
  )
}

module.exports = { serve }
