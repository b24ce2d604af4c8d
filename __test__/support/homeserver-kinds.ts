// What kinds of homeservers do differently when an application service publishes one of its users. Measured on
// Synapse, read in the source of the others.

export interface Refusal {
  status: number
  body: unknown
}

/** Interactive authentication before an identity is taken. */
export interface InteractiveAuth {
  when: 'always' | 'another identity is there'
  flows: { stages: string[] }[]
  params?: unknown
  session?: string
  msg?: string
}

export interface Kind {
  /** What `PUT /devices/{id}` does for a device that does not exist. */
  put: 'makes the device' | 'answers 404' | 'answers 200 and makes nothing' | 'makes another device'
  /** Whether that request removes the display name of a device that exists. */
  putClearsName: boolean
  /** Where `keys/upload` with the service's token finds the device. */
  deviceFrom: 'device_id' | 'org.matrix.msc3202.device_id' | 'nowhere' | 'a device of the service'
  /** The answer if that device does not exist. */
  unknownDevice: Refusal
  /** The answer to the login of an application service. Undefined: it makes the device, and a token for it. */
  loginRefusal: Refusal | undefined
  /** `breaks`: 500 for the service's token, and no way at all for the token of the login. */
  replacing: 'accepted' | 'breaks' | InteractiveAuth
  /** Whether device keys that are there already stay as they are, with their signatures. */
  keepsDeviceKeys: boolean
  /** What happens to a signature that is not stored. */
  badSignature: 'failures' | 'silence'
}

const error = (status: number, errcode: string, error: string): Refusal => ({
  status,
  body: { errcode, error },
})

const password: InteractiveAuth = {
  when: 'another identity is there',
  flows: [{ stages: ['m.login.password'] }],
  params: null,
}

const MAS_URL = 'https://auth.example.org/account/?action=org.matrix.cross_signing_reset'
const NO_DEVICE = "Application service trying to use a device that doesn't exist"
const NO_LOGIN = 'This appservice has MSC4190 enabled, so appservice login cannot be used.'

const synapse: Kind = {
  put: 'makes the device',
  putClearsName: false,
  deviceFrom: 'device_id',
  unknownDevice: error(400, 'M_UNKNOWN_DEVICE', NO_DEVICE),
  loginRefusal: undefined,
  replacing: 'accepted',
  keepsDeviceKeys: false,
  badSignature: 'failures',
}

const oldSynapse: Kind = {
  ...synapse,
  put: 'answers 200 and makes nothing',
  deviceFrom: 'nowhere',
  replacing: 'breaks',
}

const oldSynapseWithMsc4190: Kind = {
  ...oldSynapse,
  put: 'makes the device',
  loginRefusal: error(400, 'IO.ELEMENT.MSC4190.M_APPSERVICE_LOGIN_UNSUPPORTED', NO_LOGIN),
  replacing: 'accepted',
}

const conduit: Kind = {
  ...synapse,
  put: 'answers 404',
  putClearsName: true,
  unknownDevice: error(
    403,
    'M_FORBIDDEN',
    'Device does not exist for user or appservice cannot masquerade as this device.',
  ),
  replacing: password,
  keepsDeviceKeys: true,
  badSignature: 'silence',
}

export const KINDS = {
  'Synapse from 1.141 on': synapse,
  'Synapse from 1.141 on, registration with `io.element.msc4190`': {
    ...synapse,
    loginRefusal: error(400, 'M_APPSERVICE_LOGIN_UNSUPPORTED', NO_LOGIN),
  },
  'reads `device_id`, but has no MSC4190': { ...synapse, put: 'answers 404' },
  'Synapse 1.120 to 1.140': oldSynapse,
  'Synapse 1.120 to 1.140 with `msc3202_device_masquerading`': {
    ...oldSynapse,
    deviceFrom: 'org.matrix.msc3202.device_id',
    unknownDevice: error(400, 'M_EXCLUSIVE', NO_DEVICE),
  },
  'Synapse 1.139 and 1.140, registration with `io.element.msc4190`': oldSynapseWithMsc4190,
  'Synapse 1.139 and 1.140, the same with `msc3202_device_masquerading`': {
    ...oldSynapseWithMsc4190,
    deviceFrom: 'org.matrix.msc3202.device_id',
    unknownDevice: error(400, 'ORG.MATRIX.MSC4326.M_UNKNOWN_DEVICE', NO_DEVICE),
  },
  'Matrix Authentication Service, which asks application services, too': {
    ...synapse,
    loginRefusal: error(404, 'M_UNRECOGNIZED', 'Unrecognized request'),
    replacing: {
      when: 'another identity is there',
      flows: [{ stages: ['m.oauth'] }, { stages: ['org.matrix.cross_signing_reset'] }],
      params: { 'm.oauth': { url: MAS_URL }, 'org.matrix.cross_signing_reset': { url: MAS_URL } },
      session: 'dummy',
      msg: 'To reset your end-to-end encryption cross-signing identity, you first need to approve it',
    },
  },
  'continuwuity, tuwunel': conduit,
  'continuwuity, tuwunel, registration with `device_management`': { ...conduit, put: 'makes another device' },
  Dendrite: {
    ...conduit,
    deviceFrom: 'a device of the service',
    keepsDeviceKeys: false,
    badSignature: 'failures',
  },
} satisfies Record<string, Kind>

export type KindName = keyof typeof KINDS
