/** Requests and answers over a raw socket, one at a time: so little that it costs little beside what it measures. */
import type { Socket } from 'node:net'

export function requestBytes(o: { path: string; key: string; body: string }): Buffer {
  return Buffer.from(
    `POST ${o.path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${o.key}\r\n` +
      `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(o.body)}\r\n\r\n${o.body}`,
  )
}

/** Calls `each` when an answer is whole, by its length or its last chunk: whether it is a 200. */
export function answers(socket: Socket, each: (ok: boolean) => void): void {
  let buffered = ''
  socket.setEncoding('latin1')
  socket.on('data', (chunk: string) => {
    buffered = buffered === '' ? chunk : buffered + chunk
    const head = buffered.indexOf('\r\n\r\n')
    if (head < 0) return
    const length = /content-length: (\d+)/i.exec(buffered.slice(0, head))
    const isWhole = length
      ? buffered.length >= head + 4 + Number(length[1])
      : buffered.endsWith('\r\n0\r\n\r\n')
    if (!isWhole) return
    const ok = buffered.startsWith('HTTP/1.1 200')
    buffered = ''
    each(ok)
  })
}
