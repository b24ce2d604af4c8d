'use strict'

// The ghost of the stores that exist, and the homeserver that has all of it.

const USER = '@_ghost:example.org'
const DEVICE = 'GHOSTDEVICE'

/**
 * What a homeserver serves when everything has been uploaded.
 *
 * @param {import('..').CrossSigningBootstrap} payloads
 * @returns {import('..').KeysQueryAnswer}
 */
function served({ upload_device_keys, upload_keys }) {
  return {
    device_keys: { [USER]: { [DEVICE]: upload_device_keys?.device_keys ?? {} } },
    master_keys: { [USER]: upload_keys.master_key },
    self_signing_keys: { [USER]: upload_keys.self_signing_key },
    user_signing_keys: { [USER]: upload_keys.user_signing_key },
  }
}

module.exports = { DEVICE, USER, served }
