import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  domainOfWorker,
  ENVIRONMENTS,
  faultsOf,
  type Settings,
  settingsOf,
} from '#local/workerd/settings.ts'
import { domainOf, hostOf } from '#schemas/cloud/addresses.ts'

const OURS = 'models.another.example'
let folder: string
let moved: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'galley-wrangler-'))
  moved = join(folder, 'wrangler.toml')
  const text = readFileSync(new URL('../../../wrangler.toml', import.meta.url), 'utf8')
  // As docs/deploy.md does it.
  writeFileSync(moved, text.replace(/galley\.example/g, OURS))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const each = async (config?: string): Promise<[(typeof ENVIRONMENTS)[number], Settings][]> =>
  Promise.all(ENVIRONMENTS.map(async name => [name, await settingsOf(name, config)]))

describe('wrangler.toml', () => {
  test('is as good for a domain of whoever deploys as for the one that it comes with', async () => {
    for (const config of [undefined, moved]) {
      const domain = domainOfWorker(await settingsOf('production', config))
      expect(domain).toBe(config ? OURS : 'galley.example')
      for (const [name, is] of await each(config)) expect(faultsOf(name, is, domain)).toEqual([])
    }
  })

  test('is refused, with what would be right, when it is not for the domain that is deployed', async () => {
    for (const [name, is] of await each()) {
      const stage = name || 'dev'
      expect(faultsOf(name, is, OURS)).toEqual([
        expect.stringContaining(`the stacks make https://${hostOf(stage, OURS, 'functions')}`),
        expect.stringContaining(`the stacks make https://${hostOf(stage, OURS, 'router')}`),
      ])
    }
  })

  test('is refused when one stage was forgotten, or looks for the places of another', async () => {
    const staging = await settingsOf('staging', moved)
    const { FUNCTIONS_URL, ROUTER_URL } = (await settingsOf('production', moved)).vars
    const vars = { ...staging.vars, FUNCTIONS_URL, ROUTER_URL }
    expect(faultsOf('staging', { ...staging, vars }, OURS)).toHaveLength(2)
    expect(faultsOf('staging', await settingsOf('staging'), OURS)).toHaveLength(2)
    expect(faultsOf('staging', staging, null).join()).toContain('https://functions.staging.DOMAIN')
  })
})

test('an address tells its domain to the stage and place that it is of, and to no other', () => {
  const url = `https://${hostOf('staging', OURS, 'router')}`
  expect(url).toBe('https://router.staging.models.another.example')
  expect(domainOf('staging', 'router', url)).toBe(OURS)
  expect(domainOf('staging', 'functions', url)).toBeNull()
  expect(domainOf('dev', 'router', url)).toBeNull()
  expect(domainOf('production', 'functions', 'https://functions.')).toBeNull()
  expect(domainOf('production', 'functions', 'http://functions.galley.example')).toBeNull()
  expect(hostOf('production', OURS)).toBe(OURS)
})
