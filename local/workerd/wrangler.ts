/** wrangler as a program, without a network, an account or anything of its caller's. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AppError } from '#core/error.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const SAID_CHARS_MAX = 4_000
const OFFLINE = {
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_HIDE_BANNER: 'true',
  CI: 'true',
}

/** What it keeps of its own goes into the folder. Throws with its last words when it fails. */
export async function runWrangler(args: string[], folder: string): Promise<void> {
  const env = { ...OFFLINE, HOME: folder, XDG_CONFIG_HOME: folder, WRANGLER_LOG_PATH: folder }
  const child = spawn(process.execPath, [wranglerPath(), ...args], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', chunk => {
      said = (said + chunk).slice(-SAID_CHARS_MAX)
    })
  }
  const [code] = await once(child, 'close')
  if (code === 0) return
  throw new AppError('internal', { internal: `wrangler ${args.join(' ')} failed:\n${said}` })
}

function wranglerPath(): string {
  try {
    const manifest = createRequire(import.meta.url).resolve('wrangler/package.json')
    return join(manifest, '..', 'bin', 'wrangler.js')
  } catch (cause) {
    throw new AppError('unavailable', {
      public: '--edge workerd needs the development dependencies: run "npm install" first.',
      cause,
    })
  }
}
