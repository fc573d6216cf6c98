/** Which runner a request goes to: the one that will have answered it first, as far as can be foreseen. */
import type { Servable } from '#core/deps.ts'
import type { Runner } from './runner.ts'

/** Before the first answer tells. */
const COST_US_DEFAULT = 500
/** Of the newest answer in what is expected of the next. */
const COST_WEIGHT = 0.1
/** Loading takes this and some more for each byte, until a load has told. */
const LOAD_US_MIN = 200_000
const LOAD_BYTES_PER_US = 200
const DIGESTS_MAX = 10_000

export class Placement {
  /** Engine time that one request takes of its batch, and time of a load, µs by digest. */
  readonly #costUs = new Map<string, number>()
  readonly #loadUs = new Map<string, number>()

  costUs(digest: string): number {
    return this.#costUs.get(digest) ?? COST_US_DEFAULT
  }

  answered(digest: string, computeUs: number): void {
    const known = this.#costUs.get(digest)
    if (known === undefined) keep(this.#costUs, digest, computeUs)
    else this.#costUs.set(digest, known + COST_WEIGHT * (computeUs - known))
  }

  loadUs({ digest, manifest }: Servable): number {
    const known = this.#loadUs.get(digest)
    if (known !== undefined) return known
    const bytes = manifest.files.reduce((sum, file) => sum + file.size, 0)
    return LOAD_US_MIN + bytes / LOAD_BYTES_PER_US
  }

  loaded(digest: string, us: number): void {
    keep(this.#loadUs, digest, us)
  }

  /**
   * The runner that has it warm and the least to do; null when none has. `also`: one that is so much
   * less busy that it would have loaded the model before the warm one gets to this request.
   */
  choose(runners: Iterable<Runner>, model: Servable): { warm: Runner | null; also: Runner | null } {
    let warm: Runner | null = null
    let cold: Runner | null = null
    let isLoading = false
    for (const runner of runners) {
      if (runner.draining || !suits(runner, model)) continue
      if (runner.loading.has(model.digest)) isLoading = true
      else if (!runner.warm.has(model.digest)) cold = lessBusy(cold, runner)
      if (runner.warm.has(model.digest)) warm = lessBusy(warm, runner)
    }
    const isWorthIt =
      warm && cold && !isLoading && cold.backlogUs + this.loadUs(model) < warm.backlogUs
    return { warm, also: isWorthIt ? cold : null }
  }
}

/** Of those that may take new work of this model the one with the least to do. */
export function leastBusy(runners: Iterable<Runner>, model: Servable): Runner | null {
  let best: Runner | null = null
  for (const runner of runners) {
    if (!runner.draining && suits(runner, model)) best = lessBusy(best, runner)
  }
  return best
}

/**
 * A version that asks for a class of hardware goes to no other, however little there is to do; one that asks for none goes
 * to no machine that is there for its class alone.
 */
export function suits({ hardware, isDedicated }: Runner, { manifest }: Servable): boolean {
  return manifest.hardware === undefined ? !isDedicated : manifest.hardware === hardware
}

/** In words, of a class that was asked for. */
export function ofClass(hardware: string | undefined): string {
  return hardware === undefined ? '' : ` of hardware "${hardware}"`
}

function lessBusy(best: Runner | null, runner: Runner): Runner {
  if (!best) return runner
  const isLess =
    runner.backlogUs < best.backlogUs ||
    (runner.backlogUs === best.backlogUs && runner.pending.size < best.pending.size)
  return isLess ? runner : best
}

function keep(map: Map<string, number>, digest: string, value: number): void {
  if (map.size >= DIGESTS_MAX) map.delete(map.keys().next().value!)
  map.set(digest, value)
}
