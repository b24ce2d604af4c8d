// Random tests can be made again: SEED is in the message of one that fails. CI always plays the same values. It must
// fail because of a change, and not by chance. Every other run plays new ones.

import fc from 'fast-check'

export const SEED = Number(process.env.SEED ?? (process.env.CI ? 1 : Date.now() % 2 ** 31))

fc.configureGlobal({ seed: SEED })
