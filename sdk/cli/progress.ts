/** A progress bar on a terminal's stderr; nothing at all where stderr is no terminal. */
import type { UploadProgress } from '../upload.ts'
import { bytes, count } from './format.ts'
import type { Terminal } from './terminal.ts'

const BAR_CHARS = 24
const EVERY_MS = 80
const CLEAR_LINE = '\r\u001b[2K'

export type Progress = {
  /** `total` null: not known yet. */
  update(done: number, total: number | null): void
  /** What is waited for now, in the place of the bar. */
  wait(doing: string): void
  /** Removes the bar. */
  end(): void
}

export function progress(terminal: Terminal, label: string, unit: 'bytes' | 'rows'): Progress {
  if (!terminal.isErrTty) return { update() {}, wait() {}, end() {} }
  const startedAt = performance.now()
  const shown = unit === 'bytes' ? bytes : count
  const noun = unit === 'bytes' ? '' : ' rows'
  let drawnAt = Number.NEGATIVE_INFINITY
  return {
    update(done, total) {
      const now = performance.now()
      if (now - drawnAt < EVERY_MS && done !== total) return
      drawnAt = now
      const perS = Math.round(done / Math.max(0.001, (now - startedAt) / 1000))
      const share = total === null ? 0 : total === 0 ? 1 : done / total
      const amount = total === null ? shown(done) : `${shown(done)} of ${shown(total)}`
      const line = `${label} ${bar(share)} ${percent(share)}  ${amount}${noun} · ${shown(perS)}/s`
      terminal.err(CLEAR_LINE + line.slice(0, terminal.errColumns - 1))
    },
    wait(doing) {
      const line = `${label}  ${doing} … ${Math.round((performance.now() - startedAt) / 1000)} s`
      terminal.err(CLEAR_LINE + line.slice(0, terminal.errColumns - 1))
    },
    end: () => terminal.err(CLEAR_LINE),
  }
}

/** Draws an upload as it goes on. */
export function ofUpload(bar: Progress) {
  return ({ sent, total, isVerifying }: UploadProgress) =>
    isVerifying ? bar.wait('sent, being verified') : bar.update(sent, total)
}

function bar(share: number): string {
  const full = Math.floor(share * BAR_CHARS)
  return '█'.repeat(full) + '░'.repeat(BAR_CHARS - full)
}

function percent(share: number): string {
  return `${Math.floor(share * 100)} %`.padStart(5)
}
