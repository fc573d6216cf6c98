/**
 * One installation at a time in this checkout. Whoever listens on the socket installs, the others
 * wait for the end of their connection to it; the system closes both however the first one dies.
 */
import { createHash } from 'node:crypto'
import { realpathSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Runs the work when nobody else does. */
export async function alone(root, work) {
  const path = socketPath(root)
  let server = await listen(path)
  if (!server) process.stderr.write('Waiting for another installation in this folder …\n')
  while (!server) {
    await end(path)
    server = await listen(path)
  }
  try {
    return await work()
  } finally {
    server.closeAllHeld()
  }
}

function socketPath(root) {
  const name = createHash('sha256').update(realpathSync(root)).digest('hex').slice(0, 16)
  // Linux has names outside the file system, which vanish with their process.
  if (process.platform === 'linux') return `\0galley-install-${process.getuid()}-${name}`
  return join(tmpdir(), `galley-install-${name}`)
}

/** The server, or undefined while another process has the name. */
function listen(path) {
  return new Promise((resolve, reject) => {
    const held = new Set()
    const server = createServer(socket => held.add(socket.on('error', () => {})))
    server.closeAllHeld = () => {
      server.close()
      for (const socket of held) socket.destroy()
    }
    server.on('error', error => (error.code === 'EADDRINUSE' ? resolve() : reject(error)))
    server.listen(path, () => resolve(server))
  })
}

/** Resolves when the other one is gone; a name in the file system that it left behind is removed. */
function end(path) {
  return new Promise(resolve => {
    const socket = connect(path)
    socket.on('error', error => {
      if (error.code === 'ECONNREFUSED' && !path.startsWith('\0')) rmSync(path, { force: true })
    })
    socket.on('close', () => setTimeout(resolve, 50))
    socket.resume()
  })
}
