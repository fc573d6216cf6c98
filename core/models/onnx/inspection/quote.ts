/** Names out of a model's file are a stranger's text: shortened and made printable before they are shown. */

const SHOWN_MAX = 80

export function quote(text: string): string {
  const short = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text
  return `'${short.replace(/\p{C}/gu, '�').replace(/\p{Zl}|\p{Zp}/gu, '�')}'`
}

export function shapeText(dims: readonly (number | bigint | string | null)[]): string {
  return `[${dims.map(dim => (dim === null ? '?' : dim)).join(', ')}]`
}
