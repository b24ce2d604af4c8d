// A proxy in front of the homeserver. It records the requests, and can make them fail as networks do.

import { createServer, type Server } from 'node:http'

export interface Seen {
  method: string
  /** Without the query string. */
  path: string
}

export interface Answer {
  status: number
  body: string
}

/**
 * What happens to a request. With undefined, the homeserver gets it. With an answer, the proxy answers. With
 * 'cut', the connection ends before the homeserver gets the request, and with 'lost' after that: the answer
 * is lost.
 */
export type Fate = undefined | Answer | 'cut' | 'lost'

export class Proxy {
  readonly url: string
  readonly seen: Seen[] = []
  /** Decides what happens to the n-th request, counted from 0. */
  fate: (n: number, request: Seen) => Fate | Promise<Fate> = () => undefined
  /** Changes the homeserver's answer before the client gets it. */
  rewrite: (request: Seen, answer: Answer) => Answer = (_, answer) => answer
  /** Changes the body of a request before the homeserver gets it. */
  change: (request: Seen, body: string) => string = (_, body) => body
  readonly #server: Server

  private constructor(server: Server, port: number) {
    this.#server = server
    this.url = `http://127.0.0.1:${port}`
  }

  static async start(target: string): Promise<Proxy> {
    const server = createServer()
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const proxy = new Proxy(server, address.port)

    server.on('request', (request, response) => {
      const { method = 'GET', url = '/' } = request
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const seen = { method, path: url.split('?')[0]! }
        const forward = async (): Promise<Answer> => {
          const answer = await fetch(new URL(url, target), {
            method,
            headers: {
              Authorization: request.headers.authorization ?? '',
              'Content-Type': 'application/json',
            },
            body: method === 'GET' ? null : proxy.change(seen, Buffer.concat(chunks).toString()),
          })
          return { status: answer.status, body: await answer.text() }
        }
        const handle = async () => {
          const fate = await proxy.fate(proxy.seen.push(seen) - 1, seen)
          if (fate === 'cut') return request.socket.destroy()
          const answer = typeof fate === 'object' ? fate : proxy.rewrite(seen, await forward())
          if (fate === 'lost') return request.socket.destroy()
          response.writeHead(answer.status, { 'Content-Type': 'application/json' }).end(answer.body)
        }
        handle().catch(() => request.socket.destroy())
      })
    })
    return proxy
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((closed) => this.#server.close(closed))
  }
}
