// What a homeserver, or a proxy in front of it, answered. It need not be JSON, and nothing in it is believed.

const LONGEST_QUOTE = 300
/** Of a longer text, the rest is not even read. */
const LONGEST_READ = 4 * LONGEST_QUOTE

/** What looks like a token that nobody knows: in a header, in a URL, in JSON. */
const TOKENS: [RegExp, string][] = [
  [/\b(Bearer\s+|Bearer%20)[\w\-.~+/=%]{6,}/gi, '$1(a token)'],
  [
    /\b((?:access|as|id|login|refresh)_?token(?:\\*["'])?\s*(?:[=:]|%3D)\s*(?:\\*["'])?)[^\s"'&\\<>,}]+/gi,
    '$1(a token)',
  ],
]

export type JsonObject = Record<string, unknown>

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Replaces what looks like a token. */
export function withoutTokens(text: string): string {
  return TOKENS.reduce((rest, [pattern, replacement]) => rest.replace(pattern, replacement), text)
}

/** Makes one short line of a text. */
export function clip(text: string): string {
  const read = text.slice(0, LONGEST_READ).replace(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ')
  const line = withoutTokens(read).trim()
  return line.length > LONGEST_QUOTE ? `${line.slice(0, LONGEST_QUOTE)}...` : line
}

/** A value as text. What a host's client gives need not be JSON. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  try {
    const text: unknown = JSON.stringify(value)
    return typeof text === 'string' ? text : ''
  } catch {
    return ''
  }
}

/** What is known of an answer beside its status and its body. */
export interface AnswerDetails {
  retryAfter?: string | undefined
  location?: string | undefined
  /** The body may have a token in it: it must not be quoted. */
  isSecret?: boolean
}

export class Answer {
  readonly status: number
  /** The body: the JSON value, or the text if it is not JSON. */
  readonly body: unknown
  /** The values of `Retry-After` and `Location`. */
  readonly retryAfter: string | undefined
  readonly location: string | undefined
  readonly #isSecret: boolean

  constructor(status: number, body: unknown, { retryAfter, location, isSecret = false }: AnswerDetails = {}) {
    this.status = status
    this.body = body
    this.retryAfter = retryAfter
    this.location = location
    this.#isSecret = isSecret
  }

  get isSuccess(): boolean {
    return this.status >= 200 && this.status < 300 && this.errcode === undefined
  }

  /** The property of a body that is an object. */
  get(name: string): unknown {
    return isObject(this.body) && Object.hasOwn(this.body, name) ? this.body[name] : undefined
  }

  /** The Matrix error code. */
  get errcode(): string | undefined {
    const errcode = this.get('errcode')
    return typeof errcode === 'string' ? clip(errcode) : undefined
  }

  /** The status and what the server said, in whatever form. */
  describe(): string {
    if (this.location !== undefined && this.status >= 300 && this.status < 400) {
      return `${this.status}: it redirects to ${clip(this.location)}. Give the address of the homeserver itself`
    }
    const error = this.get('error') ?? this.get('message')
    if (this.errcode !== undefined) return `${this.status} ${this.errcode}: ${clip(textOf(error))}`
    if (this.#isSecret) return `${this.status}, no Matrix error. The body may have a token and is not shown`
    const said = clip(textOf(this.body))
    return said ? `${this.status}, no Matrix error but ${said}` : `${this.status} with an empty body`
  }
}
