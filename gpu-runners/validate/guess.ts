/**
 * Guesses inputs on which a model nobody has described may run: sizes for its dynamic dimensions and
 * values for its tensors. Seeded, so that the same model is judged by the same rows each time.
 */
import type { GraphValue, Inspection } from '#core/models/onnx/inspect.ts'
import { quote, shapeText } from '#core/models/onnx/inspection/quote.ts'
import { invalid } from '#core/models/onnx/wire.ts'
import type { Signature, TensorSpec } from '#schemas/signature.ts'

/** Sizes of dynamic dimensions by their key. */
export type Sizes = Record<string, number>
/** How to draw values: floats from [low, high), whole numbers from [0, integers). */
export type Style = { low: number; high: number; integers: number }

// From what is likely and representative to what is odd or large. No 3 among them: the batch of the
// trial is told from other dimensions by its size.
const SIZES = [32, 64, 16, 8, 4, 2, 1, 48, 128, 224, 256, 512, 1024, 16000]
const PAIR_SIZES = [1, 8, 32, 64, 256, 512]
const GUESSES_MAX = 64
export const STYLES: Style[] = [
  { low: -1, high: 1, integers: 10 },
  { low: 0, high: 1, integers: 2 },
  { low: 0, high: 1, integers: 1 },
]

/** Sizes to try, in order; one empty guess when nothing is dynamic but the batch. */
export function sizeGuesses(
  inspection: Inspection,
  signature: Signature,
  trialDims: Record<string, number[]> = {},
): Sizes[] {
  const given = givenSizes(inspection, signature, trialDims)
  const keys = [
    ...new Set(inspection.inputs.flatMap((value, i) => keysOf(value, signature.inputs[i]!))),
  ]
  const free = keys.filter(key => !Object.hasOwn(given, key))
  if (free.length === 0) return [given]
  const guesses = SIZES.map(size => ({
    ...Object.fromEntries(free.map(key => [key, size])),
    ...given,
  }))
  if (free.length > 1) {
    for (const key of free) {
      for (const size of PAIR_SIZES) {
        for (const rest of PAIR_SIZES) {
          if (size === rest) continue
          const others = Object.fromEntries(free.map(each => [each, rest]))
          guesses.push({ ...others, ...given, [key]: size })
        }
      }
    }
  }
  return guesses.slice(0, GUESSES_MAX)
}

/** The same dimensions, larger, where the manifest leaves them open: kernels may differ by size. */
export function scaled(sizes: Sizes, factor: number): Sizes {
  return Object.fromEntries(Object.entries(sizes).map(([key, size]) => [key, size * factor]))
}

/** The full shape of an input for so many rows. */
export function shapeFor(
  value: GraphValue,
  spec: TensorSpec,
  sizes: Sizes,
  rows: number,
): number[] {
  return value.dims!.map((dim, axis) => {
    if (axis === spec.batch_axis) return rows
    return typeof dim === 'number' ? dim : sizes[keyOf(value, dim, axis)]!
  })
}

/** Dimensions of one name have one size; those without a name have one each. */
function keyOf(value: GraphValue, dim: string | null, axis: number): string {
  return dim === null ? `${axis} of ${value.name}` : `named ${dim}`
}

function keysOf(value: GraphValue, spec: TensorSpec): string[] {
  return value.dims!.flatMap((dim, axis) =>
    typeof dim === 'number' || axis === spec.batch_axis ? [] : [keyOf(value, dim, axis)],
  )
}

function givenSizes(
  inspection: Inspection,
  signature: Signature,
  trialDims: Record<string, number[]>,
): Sizes {
  const sizes: Sizes = {}
  for (const [name, shape] of Object.entries(trialDims)) {
    const index = inspection.inputs.findIndex(input => input.name === name)
    const value = inspection.inputs[index]
    if (!value) {
      const known = inspection.inputs.map(input => quote(input.name)).join(', ')
      throw invalid(
        `The manifest gives a trial shape for ${quote(name)}, which is no input; there are ${known}.`,
      )
    }
    const fits =
      shape.length === value.dims!.length &&
      value.dims!.every((dim, axis) => typeof dim !== 'number' || dim === shape[axis])
    if (!fits) {
      throw invalid(
        `The trial shape ${shapeText(shape)} of ${quote(name)} does not fit its declared shape ${shapeText(value.dims!)}.`,
      )
    }
    value.dims!.forEach((dim, axis) => {
      if (typeof dim === 'number' || axis === signature.inputs[index]!.batch_axis) return
      sizes[keyOf(value, dim, axis)] = shape[axis]!
    })
  }
  return sizes
}

const WORDS = ['alpha', 'bravo', 'charlie', 'delta', 'echo', 'fox', 'golf', 'hotel']

/** Values for one row of one input. */
export function drawRow(
  spec: TensorSpec,
  count: number,
  style: Style,
  random: () => number,
): unknown[] {
  const whole = () => Math.floor(random() * style.integers)
  const draw: () => unknown =
    {
      BYTES: () => WORDS[Math.floor(random() * WORDS.length)],
      BOOL: () => (random() < 0.5 ? 1 : 0),
      FP16: () => style.low + random() * (style.high - style.low),
      FP32: () => style.low + random() * (style.high - style.low),
      FP64: () => style.low + random() * (style.high - style.low),
      INT64: () => BigInt(whole()),
      UINT64: () => BigInt(whole()),
    }[spec.datatype as string] ?? whole
  return Array.from({ length: count }, draw)
}

/** A small generator of numbers in [0, 1) (Mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
