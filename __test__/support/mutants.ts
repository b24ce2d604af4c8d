// Random changes of answers to keys/query.

import { pick } from './random'

/** Every place in a value, as the object that holds it and the name in this object. */
function places(value: unknown, found: [holder: Record<string, unknown>, name: string][] = []) {
  if (typeof value !== 'object' || value === null) return found
  for (const name of Object.keys(value)) {
    found.push([value as Record<string, unknown>, name])
    places((value as Record<string, unknown>)[name], found)
  }
  return found
}

const CHARACTERS = [...Array.from('ABCXYZabcxyz0189+/=-_:@ .é\u0000'), '😀']

function changedText(text: string, random: () => number): string {
  const at = Math.floor(random() * text.length)
  const character = pick(random, CHARACTERS)
  return pick(random, [
    () => text.slice(0, at) + character + text.slice(at + 1),
    () => text.slice(0, at) + character + text.slice(at),
    () => text.slice(0, at) + text.slice(at + 1),
    () => text.slice(0, at),
    () => `${text}=`,
    () => text + text,
    () => text.toUpperCase(),
  ])()
}

/**
 * Makes a random change at a random place: of a value, of a name, or of where a value belongs. The
 * value may come from the others.
 */
export function mutate(answer: object, others: object, random: () => number): void {
  const [holder, name] = pick(random, places(answer))
  const [otherHolder, otherName] = pick(random, places(random() < 0.5 ? answer : others))
  const value = holder[name]
  pick(random, [
    () => Reflect.deleteProperty(holder, name),
    () =>
      (holder[name] = pick(random, [
        null,
        true,
        0,
        -1,
        1.5,
        2 ** 60,
        '',
        'x',
        [],
        {},
        [value],
        { [name]: value },
      ])),
    () => (holder[name] = structuredClone(otherHolder[otherName])),
    () => (holder[changedText(name, random)] = value),
    () => (holder[otherName] = structuredClone(value)),
    () => {
      const mine = structuredClone(value)
      holder[name] = structuredClone(otherHolder[otherName])
      otherHolder[otherName] = mine
    },
    () => {
      if (typeof value === 'string') holder[name] = changedText(value, random)
    },
    () => {
      if (typeof value !== 'string') return
      const [, text] = pick(
        random,
        places(others).flatMap(([holder, name]) =>
          typeof holder[name] === 'string' ? [[name, holder[name]] as const] : [],
        ),
      )
      holder[name] = text
    },
  ])()
}
