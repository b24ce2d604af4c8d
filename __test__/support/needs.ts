// Tests that need something from the machine. If it is missing, they are skipped and say so. With CI=true
// they fail: in CI, nobody would notice a skipped test.

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
