// A client as hosts have it. It rejects as the `doRequest` of matrix-bot-sdk does: with a `MatrixError` if the
// body has an `errcode`, whatever the status, otherwise with the whole response. The response knows the token.

import { type HostRequest } from 'rust-crypto-helper/publisher'

class MatrixError extends Error {
  readonly body: Record<string, unknown>
  readonly statusCode: number
  readonly errcode: unknown
  readonly error: unknown
  readonly retryAfterMs: unknown

  constructor(body: Record<string, unknown>, statusCode: number) {
    super(`${String(body.errcode)}: ${String(body.error)}`)
    this.body = body
    this.statusCode = statusCode
    this.errcode = body.errcode
    this.error = body.error
    this.retryAfterMs = body.retry_after_ms
  }
}

export function hostClient(homeserverUrl: string, token: string): HostRequest {
  return async (method, path, query, body) => {
    const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }
    const search = new URLSearchParams(query).toString()
    const response = await fetch(`${homeserverUrl}${path}?${search}`, {
      method,
      headers,
      body: body ? JSON.stringify(body) : null,
    })
    const answer = parse(await response.text())
    if (typeof answer === 'object' && answer !== null && 'errcode' in answer) {
      throw new MatrixError(answer, response.status)
    }
    if (!response.ok) {
      const { status: statusCode } = response
      // eslint-disable-next-line @typescript-eslint/only-throw-error
      throw { statusCode, headers: Object.fromEntries(response.headers), body: answer, request: { headers } }
    }
    return answer as object
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
