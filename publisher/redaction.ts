// Tokens must not get into errors, whatever the homeserver, a proxy or a client repeats.

import { isObject } from './answer'

export type Redact = (text: string) => string

/** A token this short is no secret, and other words have it in them. */
const SHORTEST = 8

/** Makes a function that takes a token out of a text: as it is, and as URLs, JSON and HTML write it. */
export function redactorOf(token: string): Redact {
  if (token.length < SHORTEST) return (text) => text
  const forms = Array.from(token, (character) => {
    const code = character.charCodeAt(0)
    const hex = code.toString(16).padStart(2, '0')
    const either = `(?:${hex}|${hex.toUpperCase()})`
    const written = [
      `\\\\{0,3}\\x${hex}`,
      `%(?:25){0,2}${either}`,
      `\\\\{1,3}u00${either}`,
      `&#(?:[xX]0{0,4}${either}|0{0,4}${code});`,
    ]
    return `(?:${written.join('|')})`
  })
  const pattern = new RegExp(forms.join(''), 'g')
  return (text) => text.replace(pattern, '(the token)')
}

/** Redacts all texts in a JSON value. */
export function redactAll(value: unknown, redact: Redact): unknown {
  if (typeof value === 'string') return redact(value)
  if (Array.isArray(value)) return value.map((item) => redactAll(item, redact))
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [redact(key), redactAll(item, redact)]),
  )
}
