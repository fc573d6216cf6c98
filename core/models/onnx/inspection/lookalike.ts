/** Says what a file looks like when it is no ONNX model, so that the caller sees the mix-up at once. */

const HEAD_BYTES = 512
type Sign = { at: number; bytes: string; is: string }

const EXPORT = 'Export the model to ONNX first.'
const SIGNS: Sign[] = [
  { at: 0, bytes: '\x89PNG', is: 'a PNG image' },
  { at: 0, bytes: '\xff\xd8\xff', is: 'a JPEG image' },
  { at: 0, bytes: '%PDF', is: 'a PDF document' },
  { at: 0, bytes: '\x89HDF', is: `an HDF5 file (a Keras model?). ${EXPORT}` },
  {
    at: 0,
    bytes: 'PK\x03\x04',
    is: `a ZIP archive (a PyTorch .pt or a Keras .keras file?). ${EXPORT}`,
  },
  { at: 0, bytes: '\x1f\x8b', is: 'a gzip archive. Upload the model uncompressed.' },
  { at: 0, bytes: '\x28\xb5\x2f\xfd', is: 'a zstd archive. Upload the model uncompressed.' },
  { at: 257, bytes: 'ustar', is: 'a tar archive. Upload the model itself.' },
  { at: 0, bytes: 'GGUF', is: `a GGUF model (llama.cpp). ${EXPORT}` },
  { at: 4, bytes: 'TFL3', is: `a TensorFlow Lite model. ${EXPORT}` },
  { at: 4, bytes: 'ORTM', is: 'a model in ONNX Runtime’s own .ort format. Upload the .onnx file.' },
  { at: 0, bytes: '\x93NUMPY', is: 'a NumPy array' },
  { at: 0, bytes: 'PAR1', is: 'a Parquet file' },
  { at: 0, bytes: '\x7fELF', is: 'a program (ELF)' },
  { at: 8, bytes: '{"', is: `a safetensors file, which holds weights and no graph. ${EXPORT}` },
  {
    at: 0,
    bytes: 'version https://git-lfs',
    is: 'a Git LFS pointer. Fetch the file itself with `git lfs pull` and upload that.',
  },
]

/** What the file looks like by its beginning; null when it may be ONNX. */
export function lookalike(read: (offset: number, length: number) => Uint8Array): string | null {
  const head = read(0, HEAD_BYTES)
  const text = Array.from(head, byte => String.fromCharCode(byte)).join('')
  const sign = SIGNS.find(each => text.startsWith(each.bytes, each.at))
  if (sign) return sign.is
  if (head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5) return `a Python pickle. ${EXPORT}`
  if (head[0] === 0x0a && /^\n[^\n]\n/.test(text)) return `a TensorFlow GraphDef (.pb). ${EXPORT}`
  if (/^\s*[{[]/.test(text) && isText(head)) return 'JSON'
  if (/^\s*<(!doctype|html|head|body)/i.test(text)) return 'an HTML page. Was it an error page?'
  if (/^\s*<\?xml/.test(text)) return 'XML'
  return isText(head) ? 'plain text' : null
}

/** TensorFlow's SavedModel begins like an ONNX model whose producer is no text. */
export function isSavedModel(producer: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the sign.
  return /[\x00-\x08\x0e-\x1f]/.test(producer)
}

function isText(head: Uint8Array): boolean {
  return head.every(byte => byte >= 0x20 || (byte >= 0x09 && byte <= 0x0d))
}
