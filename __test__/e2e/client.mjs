// The process behind support/client.ts. It reads one JSON command per line and writes one JSON answer per
// line.

import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { UserId } from '@matrix-org/matrix-sdk-crypto-wasm'
import * as sdk from 'matrix-js-sdk'
import { decodeRecoveryKey } from 'matrix-js-sdk/lib/crypto-api/index.js'
import { logger } from 'matrix-js-sdk/lib/logger.js'

logger.setLevel('silent')
console.log = console.info = console.debug = console.warn = console.error

let client
/** What the user enters when the client asks for it. */
let enteredKey

async function until(condition, what) {
  for (let waited = 0; waited < 30_000; waited += 50) {
    const value = await condition()
    if (value) return value
    await sleep(50)
  }
  throw new Error(`timed out: ${what}`)
}

const commands = {
  async start({ homeserver, user_id, device_id, access_token }) {
    client = sdk.createClient({
      baseUrl: homeserver,
      userId: user_id,
      deviceId: device_id,
      accessToken: access_token,
      logger,
      cryptoCallbacks: {
        getSecretStorageKey: ({ keys }) =>
          Promise.resolve(enteredKey ? [Object.keys(keys)[0], decodeRecoveryKey(enteredKey)] : null),
      },
    })
    await client.initRustCrypto({ useIndexedDB: false })
    await client.startClient({ initialSyncLimit: 1 })
    await until(() => client.isInitialSyncComplete(), 'the first sync')
  },

  async createRoom({ userIds }) {
    const { room_id } = await client.createRoom({
      preset: 'private_chat',
      invite: userIds,
      initial_state: [
        { type: 'm.room.encryption', state_key: '', content: { algorithm: 'm.megolm.v1.aes-sha2' } },
      ],
    })
    return room_id
  },

  async prepare({ roomId, members }) {
    const room = await until(() => client.getRoom(roomId), 'the room')
    await until(() => room.getJoinedMemberCount() === members, 'the members')
    client.getCrypto().prepareToEncrypt(room)
  },

  async verdict({ userId, deviceId }) {
    const status = await client.getCrypto().getDeviceVerificationStatus(userId, deviceId)
    return {
      known: status !== null,
      signedByOwner: status?.signedByOwner ?? false,
      verified: status?.crossSigningVerified ?? false,
    }
  },

  async identityChanged({ userId }) {
    return (await client.getCrypto().getUserVerificationStatus(userId)).needsUserApproval
  },

  /** Without private keys in the secret storage, it makes an identity. */
  async setUpIdentity({ recoveryKey }) {
    enteredKey = recoveryKey
    const crypto = client.getCrypto()
    await crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: (makeRequest) => makeRequest(null) })
    return crypto.isCrossSigningReady()
  },

  async setUpSecretStorage({ passphrase }) {
    const crypto = client.getCrypto()
    const key = await crypto.createRecoveryKeyFromPassphrase(passphrase)
    enteredKey = key.encodedPrivateKey
    await crypto.bootstrapSecretStorage({ createSecretStorageKey: () => Promise.resolve(key) })
    return enteredKey
  },

  // The last step of a verification. The steps before it need somebody at the other side.
  async verifyUser({ userId }) {
    const crypto = client.getCrypto()
    const identity = await crypto.olmMachine.getIdentity(new UserId(userId))
    await crypto.outgoingRequestProcessor.makeOutgoingRequest(await identity.verify())
    await until(
      async () => (await crypto.getUserVerificationStatus(userId)).isCrossSigningVerified(),
      'the verification',
    )
  },

  async trust({ userId }) {
    const status = await client.getCrypto().getUserVerificationStatus(userId)
    return {
      isVerified: status.isCrossSigningVerified(),
      wasVerified: status.wasCrossSigningVerified(),
      needsApproval: status.needsUserApproval,
    }
  },

  async send({ roomId, text }) {
    await client.sendTextMessage(roomId, text)
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...parameters } = JSON.parse(line)
  const answer = await commands[command](parameters).then(
    (value) => ({ value }),
    (error) => ({ error: String(error.stack ?? error) }),
  )
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
process.exit()
