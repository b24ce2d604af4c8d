/** What a call rejects with. */
export interface BootstrapError extends Error {
  /** Why, for a program. */
  code: BootstrapErrorCode
}
