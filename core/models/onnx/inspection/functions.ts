/** How large the graph becomes when the runtime puts functions in the place of their calls. */

import { invalid } from '../wire.ts'
import type { Body } from './graph.ts'
import { quote } from './quote.ts'

/** Nodes of `main` with every call expanded. Throws on functions that call themselves. */
export function expandedNodes(main: Body, bodies: Map<string, Body>): number {
  const known = new Map<string, number>()
  const open = new Set<string>()

  function sum(body: Body): number {
    let nodes = body.nodes
    for (const [key, times] of body.calls) nodes += times * expand(key)
    return nodes
  }
  function expand(key: string): number {
    const done = known.get(key)
    if (done !== undefined) return done
    if (open.has(key))
      throw invalid(
        `The function ${quote(nameOf(key))} of the model calls itself, directly or through others.`,
      )
    if (open.size >= DEPTH_MAX)
      throw invalid(`The functions of the model call one another more than ${DEPTH_MAX} deep.`)
    open.add(key)
    const nodes = sum(bodies.get(key)!)
    open.delete(key)
    known.set(key, nodes)
    return nodes
  }
  return sum(main)
}

const DEPTH_MAX = 100

function nameOf(key: string): string {
  return key.replace(/::$/, '')
}
