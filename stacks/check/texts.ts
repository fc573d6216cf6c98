/** Files beside the stacks that must agree with them: rules read them as they read resources. */
import { readFileSync } from 'node:fs'
import { wranglerText } from '../wrangler.ts'

/** The content of `wrangler.toml`, `docs/deploy.md` and `docs/runbook.md`. */
export type Texts = { wrangler: string; guide: string; runbook: string }

export function readTexts(): Texts {
  const page = (name: string) =>
    readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8')
  return { wrangler: wranglerText(), guide: page('deploy'), runbook: page('runbook') }
}
