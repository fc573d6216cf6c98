/** Files beside the stacks that must agree with them: rules read them as they read resources. */
import { readdirSync, readFileSync } from 'node:fs'
import { wranglerText } from '../wrangler.ts'

/** `wrangler.toml`, `docs/deploy.md` and `docs/runbook.md`, and the calls of AWS's SDK in our sources, by name. */
export type Texts = { wrangler: string; guide: string; runbook: string; calls: string[] }

export function readTexts(): Texts {
  const page = (name: string) =>
    readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8')
  return {
    wrangler: wranglerText(),
    guide: page('deploy'),
    runbook: page('runbook'),
    calls: callsIn(['platform', 'functions', 'gpu-runners', 'edge', 'core']),
  }
}

function callsIn(folders: string[]): string[] {
  const found = folders.flatMap(folder => {
    const at = new URL(`../../${folder}/`, import.meta.url)
    return readdirSync(at, { recursive: true, encoding: 'utf8' })
      .filter(name => name.endsWith('.ts'))
      .flatMap(name => [...readFileSync(new URL(name, at), 'utf8').matchAll(CALL)])
      .map(([, call]) => call!)
  })
  return [...new Set(found)]
}
const CALL = /\bnew ([A-Z]\w+)Command\(/g
