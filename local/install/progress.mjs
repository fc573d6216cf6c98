/** Progress as one line that changes on a terminal, and as two plain lines anywhere else. */
const EVERY_MS = 200

/** Begins a line. `update` shows how much is done, `end` how it ended. */
export function progress(text) {
  const { stderr } = process
  const startedAt = Date.now()
  let shownAt = 0
  const seconds = () => `${Math.round((Date.now() - startedAt) / 1000)} s`
  const show = line => stderr.write(stderr.isTTY ? `\r\x1b[K${line}` : `${line}\n`)
  show(`${text} …`)
  return {
    update(done, total) {
      if (!stderr.isTTY || Date.now() - shownAt < EVERY_MS) return
      shownAt = Date.now()
      show(`${text} ${Math.min(99, Math.floor((100 * done) / total))} % (${seconds()})`)
    },
    end(outcome) {
      show(`${outcome} after ${seconds()}.`)
      if (stderr.isTTY) stderr.write('\n')
    },
  }
}
