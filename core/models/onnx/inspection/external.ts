/**
 * External data: weights that stand in files beside the graph. A path that leaves the model's own
 * files would let a model read the server's, so only files of the manifest may be named, and only
 * bytes that they have. (ONNX: docs/ExternalData.md)
 */

import { invalid } from '../wire.ts'
import { quote } from './quote.ts'

export type BundledFile = { path: string; size: number }

/** ONNX Runtime reads this location as an address in its own memory. */
const MEMORY_MARKER = '_ORT_MEM_ADDR_'
const KEYS = new Set(['location', 'offset', 'length', 'checksum'])

/**
 * Checks one tensor's external data and gives the path of its file. `bytes` is what the tensor's
 * dimensions ask for.
 */
export function checkExternal(
  what: string,
  entries: Map<string, string>,
  bytes: bigint,
  bundled: Map<string, number>,
): string {
  for (const key of entries.keys()) {
    if (!KEYS.has(key)) {
      throw invalid(
        `${what} has external data with the key ${quote(key)}; known are ${[...KEYS].join(', ')}.`,
      )
    }
  }
  const path = pathOf(what, entries.get('location'))
  const size = bundled.get(path)
  if (size === undefined) {
    throw invalid(
      `${what} keeps its data in ${quote(path)}, which is not among the files of the manifest (${listing(bundled)}). Add the file, or save the model with its weights inside.`,
    )
  }
  const offset = count(what, 'offset', entries.get('offset')) ?? 0n
  const length = count(what, 'length', entries.get('length')) ?? bytes
  if (length !== bytes) {
    throw invalid(`${what} needs ${bytes} bytes of external data and its length says ${length}.`)
  }
  if (offset + length > BigInt(size)) {
    throw invalid(
      `${what} takes bytes ${offset} to ${offset + length} of ${quote(path)}, which is ${size} bytes long.`,
    )
  }
  return path
}

function pathOf(what: string, location: string | undefined): string {
  if (!location) throw invalid(`${what} has external data without a location.`)
  if (location.includes(MEMORY_MARKER)) {
    throw invalid(
      `${what} has external data at a memory address (${quote(location)}); only files of the manifest can be named.`,
    )
  }
  if (/^[/\\]|^[A-Za-z]:/.test(location)) {
    throw invalid(
      `${what} keeps its data at the absolute path ${quote(location)}; only a path relative to the graph, within the manifest, can be named.`,
    )
  }
  const parts = location.split('/').filter(part => part !== '.' && part !== '')
  if (parts.includes('..') || /[\\\0]/.test(location)) {
    throw invalid(
      `${what} keeps its data at ${quote(location)}, which leaves the folder of the model; only files of the manifest can be named.`,
    )
  }
  return parts.join('/')
}

function count(what: string, key: string, text: string | undefined): bigint | null {
  if (text === undefined) return null
  if (!/^\d{1,19}$/.test(text)) {
    throw invalid(
      `${what} has external data whose ${key} is ${quote(text)}; it must be a number of bytes.`,
    )
  }
  return BigInt(text)
}

function listing(bundled: Map<string, number>): string {
  const names = [...bundled.keys()]
  if (names.length === 0) return 'it lists none beside the graph'
  return names.slice(0, 5).map(quote).join(', ') + (names.length > 5 ? ', …' : '')
}
