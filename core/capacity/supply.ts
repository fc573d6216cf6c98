/**
 * Capacity as a fluid: what runners that become free one after the other have done by a time, and when an
 * amount of work is done. Seconds throughout; a second of work is one of one runner at full speed.
 */

/** From when on, and how much of a second each second from then. */
export type Source = { fromS: number; speed: number }

/** Those sources, which are in the order of their times, and one more. */
export function withOne(sources: readonly Source[], one: Source): Source[] {
  const at = sources.findIndex(({ fromS }) => fromS > one.fromS)
  return at < 0 ? [...sources, one] : [...sources.slice(0, at), one, ...sources.slice(at)]
}

/**
 * When an amount is done, were all sources kept busy; `Infinity` where there are none. To be asked for amounts
 * that ascend; sources are in the order of their times.
 */
export function doneAt(sources: readonly Source[]): (amount: number) => number {
  let next = 0
  let speed = 0
  let at = 0
  let done = 0
  return amount => {
    for (; next < sources.length; next++) {
      const { fromS } = sources[next]!
      if (speed > 0 && done + (fromS - at) * speed >= amount) break
      done += (fromS - at) * speed
      at = fromS
      speed += sources[next]!.speed
    }
    return speed === 0 ? Infinity : at + (amount - done) / speed
  }
}

/** Amounts that are done when each of the sources begins: where `doneAt` bends. */
export function bends(sources: readonly Source[]): number[] {
  let speed = 0
  let at = 0
  let done = 0
  return sources.map(source => {
    done += (source.fromS - at) * speed
    at = source.fromS
    speed += source.speed
    return done
  })
}
