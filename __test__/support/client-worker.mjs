// What a client says about devices: the Matrix SDK that Element runs, as WebAssembly. It is in a worker, because
// some answers crash it. Takes a list of questions, and posts one answer after another.

import { parentPort } from 'node:worker_threads'
import { DeviceId, initAsync, OlmMachine, UserId } from '@matrix-org/matrix-sdk-crypto-wasm'

async function judge(machine, { user, device, text }) {
  // The list takes what is in it.
  const { id, type } = machine.queryKeysForUsers([new UserId(user)])
  try {
    await machine.markRequestAsSent(id, type, text)
  } catch {
    return { says: 'drops the answer' }
  }
  const userId = new UserId(user)
  const served = await machine.getDevice(userId, new DeviceId(device))
  if (!served?.isCrossSignedByOwner()) return { says: 'not verified' }
  const identity = await machine.getIdentity(userId)
  const { keys } = JSON.parse(identity.masterKey)
  const ed25519 = Object.keys(keys).find((name) => name.startsWith('ed25519:'))
  return { says: 'verified', masterKey: keys[ed25519] }
}

// A crash is a message like the others, behind the answers before it. The event `error` of a worker may overtake
// them. A RuntimeError is how WebAssembly reports that its program has crashed.
process.on('uncaughtException', (error) => {
  if (error.name !== 'RuntimeError') throw error
  parentPort.postMessage({ says: 'crashes' })
})

parentPort.on('message', async (questions) => {
  await initAsync()
  const machine = await OlmMachine.initialize(new UserId('@client:example.net'), new DeviceId('CLIENT'))
  for (const question of questions) parentPort.postMessage(await judge(machine, question))
  machine.close()
})
