/** What `wrangler.toml` says that a deployment of the stacks must agree with. */
import { readFileSync } from 'node:fs'
import { domainOf } from '../schemas/cloud/addresses.ts'
import type { Stage } from './settings.ts'

export const wranglerText = (): string =>
  readFileSync(new URL('../wrangler.toml', import.meta.url), 'utf8')

/** The Worker's name and the addresses of places, of one stage; dev stands at the top of the file. */
export function wranglerOf(stage: Stage, text: string): Record<string, string> {
  const sections = text.split(/^(?=\[)/m)
  const [own, vars] =
    stage === 'dev'
      ? [sections[0], sections.find(each => each.startsWith('[vars]'))]
      : ['', '.vars'].map(of => sections.find(each => each.startsWith(`[env.${stage}${of}]`)))
  const pairs = `${own}\n${vars}`.matchAll(/^(name|\w+_URL) = "([^"]*)"/gm)
  return Object.fromEntries([...pairs].map(([, key, value]) => [key, value]))
}

/** The domain that the stage's Worker looks for the functions below; null where that is no address of the stage. */
export function wranglerDomain(stage: Stage, text: string): string | null {
  return domainOf(stage, 'functions', wranglerOf(stage, text).FUNCTIONS_URL ?? '')
}
