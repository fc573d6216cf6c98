/**
 * Running many together so that one that fails, fails alone: a batch that fails is halved until the
 * culprits stand by themselves. One that ends its process when alone gets a second chance, because a
 * process also ends by chance (the kernel's memory killer, a spot machine); the second time it is blamed.
 */
import { AppError } from '#core/error.ts'
import { EngineCrash } from '#gpu-runners/engines/engine.ts'

export async function bisect<T>(
  items: readonly T[],
  run: (items: readonly T[]) => Promise<void>,
  fail: (item: T, error: unknown) => void,
): Promise<void> {
  if (items.length === 0) return
  try {
    await run(items)
  } catch (error) {
    await blame(items, error, run, fail)
  }
}

/** The same after the first run of all failed with this error. */
export async function blame<T>(
  items: readonly T[],
  error: unknown,
  run: (items: readonly T[]) => Promise<void>,
  fail: (item: T, error: unknown) => void,
): Promise<void> {
  if (!isBlamable(error)) {
    for (const item of items) fail(item, error)
  } else if (items.length > 1) {
    const middle = Math.ceil(items.length / 2)
    await bisect(items.slice(0, middle), run, fail)
    await bisect(items.slice(middle), run, fail)
  } else if (error instanceof EngineCrash) {
    await again(items, run, fail)
  } else {
    fail(items[0]!, error)
  }
}

async function again<T>(
  items: readonly T[],
  run: (items: readonly T[]) => Promise<void>,
  fail: (item: T, error: unknown) => void,
): Promise<void> {
  try {
    await run(items)
  } catch (error) {
    if (!(error instanceof EngineCrash)) return fail(items[0]!, error)
    fail(
      items[0]!,
      new AppError('inference_failed', {
        public: 'The engine process ended twice while it ran this input alone.',
        internal: error.message,
      }),
    )
  }
}

/** Whether the input may be the reason; otherwise dividing it changes nothing. */
function isBlamable(error: unknown): boolean {
  return (
    error instanceof EngineCrash || (error instanceof AppError && error.code === 'inference_failed')
  )
}
