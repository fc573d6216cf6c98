/** Turns what ONNX Runtime says about a model into a sentence for the one who published it. */
import { quote } from '#core/models/onnx/inspection/quote.ts'

type Rule = { sign: RegExp; say: (match: RegExpMatchArray) => string }

const DETAIL_LENGTH_MAX = 400

const RULES: Rule[] = [
  {
    sign: /In Node, \("([^"]*)", (\w+), "([^"]*)".*No Op registered for \w+ with domain_version of (\d+)/s,
    say: ([, name, op, domain, version]) =>
      `Node ${quote(name!)} uses the operator ${quote(op!)}, which opset ${version} of ${quote(domain || 'ai.onnx')} does not have. Check its spelling, or export with the opset that introduced it.`,
  },
  {
    sign: /Fatal error: ([\w.]*):(\w+)\(-?\d+\) is not a registered function\/op/,
    say: ([, domain, op]) =>
      `The operator ${quote(op!)} does not exist in ${quote(domain || 'ai.onnx')} of this runtime. Use standard ONNX operators.`,
  },
  {
    sign: /In Node, \("([^"]*)", (\w+),.*Error (.*)$/s,
    say: ([, name, op, why]) => `Node ${quote(name!)} (${quote(op!)}) is invalid: ${tidy(why!)}.`,
  },
  {
    sign: /Could not find an implementation for (\w+)\((\d+)\) node with name '([^']*)'/,
    say: ([, op, version, name]) =>
      `Node ${quote(name!)} uses ${quote(op!)} (version ${version}), for which this runtime has no CPU implementation with these element types. Export with a newer opset or another element type.`,
  },
  {
    sign: /Type '([^']*)' of input parameter \(([^)]*)\) of operator \((\w+)\) in node \(([^)]*)\) is invalid/,
    say: ([, type, input, op, name]) =>
      `Node ${quote(name!)} (${quote(op!)}) cannot take ${type} for its input ${quote(input!)}.`,
  },
  {
    sign: /Type \(([^)]*\))\) of output arg \(([^)]*)\) of node \(([^)]*)\) does not match expected type \(([^)]*\))\)/,
    say: ([, declared, output, name, real]) =>
      `The type of ${quote(output!)} is declared as ${declared}, and node ${quote(name!)} makes ${real}.`,
  },
  {
    sign: /Node input '([^']*)' is not a graph input, initializer, or output/,
    say: ([, input]) =>
      `A node takes ${quote(input!)}, which is no input of the graph, no initializer and no output of an earlier node.`,
  },
  {
    sign: /Graph output \(([^)]*)\) does not exist/,
    say: ([, output]) => `The output ${quote(output!)} is made by no node of the graph.`,
  },
  { sign: /graph is not acyclic/, say: () => 'The nodes of the graph form a cycle.' },
  {
    sign: /Duplicate definition of name \(([^)]*)\)/,
    say: ([, name]) => `The name ${quote(name!)} is given to two values of the graph.`,
  },
  {
    sign: /protobuf parsing failed/i,
    say: () => 'The file is not a valid ONNX model: its Protocol Buffers are damaged.',
  },
  {
    sign: /Node \(([^)]*)\) Op \((\w+)\) \[(?:Shape|Type)InferenceError\] (.*)/s,
    say: ([, name, op, why]) =>
      `Node ${quote(name!)} (${quote(op!)}) does not fit its inputs: ${tidy(why!)}.`,
  },
  {
    sign: /while running (\w+) node\. Name:'([^']*)' Status Message: (.*)/s,
    say: ([, op, name, why]) => `Node ${quote(name!)} (${quote(op!)}) failed: ${tidy(why!)}.`,
  },
]

/** True when the runtime could not get the memory that it wanted. */
export function isOutOfMemory(error: unknown): boolean {
  return /Failed to allocate memory|bad_alloc|bad allocation|Array buffer allocation failed/i.test(
    textOf(error),
  )
}

export function sentenceFor(error: unknown): string {
  const text = textOf(error)
  for (const rule of RULES) {
    const match = text.match(rule.sign)
    if (match) return rule.say(match)
  }
  return `ONNX Runtime refused it: ${tidy(text)}.`
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Drops the places in the runtime's own source and paths of this machine, and keeps one line. */
function tidy(text: string): string {
  const kept = text
    .replace(/^\/onnxruntime_src\/\S+:\d+ .*?\)(?: \[[^\]]*\])? (?=[A-Z])/s, '')
    .replace(/\/onnxruntime_src\/\S+/g, '')
    .replace(
      /"?\/[\w.-]+(?:\/[\w.@-]+)+"?/g,
      match => `'${match.replaceAll('"', '').split('/').pop()}'`,
    )
    .replace(/\p{C}+|\s+/gu, ' ')
    .trim()
    .replace(/\.$/, '')
  return kept.length > DETAIL_LENGTH_MAX ? `${kept.slice(0, DETAIL_LENGTH_MAX)}…` : kept
}
