/** Shapes as refusals quote them. */
import { quote, shapeText } from '#core/models/onnx/inspection/quote.ts'

/** Shapes in a sentence: `'x' [1, 3], 'y' [1]`. */
export function describeShapes(shapes: Record<string, number[]>): string {
  const all = Object.entries(shapes).map(([name, shape]) => `${quote(name)} ${shapeText(shape)}`)
  return all.length === 0 ? 'no inputs' : all.slice(0, 8).join(', ')
}
