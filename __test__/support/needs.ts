// Tests that need something of the machine: where it is missing they are skipped and say so, and with
// CI=true they fail, so that what was not tested does not pass for tested.

export function itWith(missing: string | undefined): jest.It {
  if (missing === undefined) return it
  if (process.env.CI === 'true') {
    const failing = (name: string) => {
      it(name, () => {
        throw new Error(`not tested: ${missing}`)
      })
    }
    return Object.assign(failing, { each: () => failing }) as unknown as jest.It
  }
  process.stderr.write(`\n!! SKIPPED in ${expect.getState().testPath ?? 'a test'}: ${missing}\n`)
  return it.skip
}
