// User-interactive authentication, as far as a program can do it.

import { type Answer, clip, isObject } from './answer'
import type { UserInteractiveAuthFlow } from './errors'

/** What the homeserver asks for. */
export interface UserInteractiveAuthChallenge {
  /** The user whose identity is uploaded. */
  userId: string
  /** The ways that the homeserver offers. */
  flows: UserInteractiveAuthFlow[]
  /** The stages that are completed. */
  completed: string[]
  /** The session. Put it into the answer, beside `type`. */
  session?: string | undefined
  /** What the homeserver says about the stages, by stage. */
  params: Record<string, unknown>
  /** Why the homeserver refused the last answer, such as `M_FORBIDDEN`. Absent: it refused none. */
  errcode?: string | undefined
  /** The same in words. */
  error?: string | undefined
  /** A page where a person can approve the upload, if the homeserver names one. */
  url?: string | undefined
}

/**
 * Answers a challenge: the `auth` object of the next attempt. It is called again if the homeserver asks for more,
 * or refuses the answer, ten times at most. `undefined` gives up. What it throws, `publish` rejects with. An abort
 * does not wait for it.
 *
 * @example
 * ```ts
 * ({ userId, session, errcode }) =>
 *   errcode ? undefined : { type: 'm.login.password', identifier: { type: 'm.id.user', user: userId }, password, session }
 * ```
 */
export type OnUserInteractiveAuth = (
  challenge: UserInteractiveAuthChallenge,
) => object | undefined | Promise<object | undefined>

const DUMMY = 'm.login.dummy'

/** The challenge in an answer, if it is one. */
export function readChallenge(userId: string, answer: Answer): UserInteractiveAuthChallenge | undefined {
  const flows = answer.get('flows')
  if (answer.status !== 401 || !Array.isArray(flows)) return undefined
  const [completed, session, params, error] = ['completed', 'session', 'params', 'error'].map((name) =>
    answer.get(name),
  )
  const challenge = {
    userId,
    flows: flows.map((flow) => ({ stages: strings(isObject(flow) ? flow.stages : undefined) })),
    completed: strings(completed),
    session: typeof session === 'string' ? session : undefined,
    params: isObject(params) ? params : {},
    errcode: answer.errcode,
    error: typeof error === 'string' ? clip(error) : undefined,
  }
  return { ...challenge, url: findUrl(challenge) }
}

/** The answer to a challenge that needs nobody: the dummy stage alone is left in one of the flows. */
export function dummyAuth({ flows, completed, session }: UserInteractiveAuthChallenge): object | undefined {
  const isLeft = ({ stages }: UserInteractiveAuthFlow) => {
    const left = stages.filter((stage) => !completed.includes(stage))
    return left.length === 1 && left[0] === DUMMY
  }
  return flows.some(isLeft) ? { type: DUMMY, ...(session !== undefined && { session }) } : undefined
}

function findUrl({
  flows,
  params,
}: Pick<UserInteractiveAuthChallenge, 'flows' | 'params'>): string | undefined {
  for (const stage of flows.flatMap(({ stages }) => stages)) {
    const param = params[stage]
    if (isObject(param) && typeof param.url === 'string') return param.url
  }
  return undefined
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}
