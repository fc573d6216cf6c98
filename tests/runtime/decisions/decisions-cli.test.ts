import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { folder, galley, peerOf } from '../cli-run.ts'

const OUTCOME = {
  decision: 'review',
  score: 0.75,
  reasons: [{ rule: 'too often', answer: 'review' }],
  features: { 'card.count': 4 },
  model: { name: 'risk', version: 3, digest: 'd', receipt: 'r' },
}

describe('decide', () => {
  test.each([
    ['as it is', () => ['{"card": "c1"}'], ''],
    ['in a file', () => ['@payment.json'], ''],
    ['on stdin', () => ['-'], '{"card": "c1"}'],
  ])(
    'sends data that is given %s, and shows the answer with what it is from',
    async (_, data, input) => {
      await writeFile(join(folder, 'payment.json'), '{"card": "c1"}')
      const peer = await peerOf(() => ({ json: { ...OUTCOME, repeated: false } }))
      const args = ['decisions', 'decide', 'fraud', 'p1', ...data(), '--source', 'shop']
      const { code, out } = await galley(args, { url: peer.url, input })
      expect(code).toBe(0)
      const [asked] = peer.asked
      expect([asked!.method, asked!.path]).toEqual(['POST', '/v1/decisions/fraud'])
      expect(JSON.parse(String(asked!.body))).toEqual({
        id: 'p1',
        source: 'shop',
        data: { card: 'c1' },
      })
      for (const text of ['review', '0.75', 'too often', 'risk@3', 'card.count', '4']) {
        expect(out).toContain(text)
      }
    },
  )

  test('shows the features that moved the score, when that is asked for', async () => {
    const features = [{ feature: 'card.count', value: 4, replaced_by: 0, change: 0.5 }]
    const explanation = { method: 'replaced_by_missing', features }
    const peer = await peerOf(() => ({ json: { ...OUTCOME, repeated: false, explanation } }))
    const args = ['decisions', 'decide', 'fraud', 'p1', '{}', '--explain']
    const { out } = await galley(args, { url: peer.url })
    expect(JSON.parse(String(peer.asked[0]!.body)).explain).toBe(true)
    expect(out).toMatch(/card\.count +4 +0 +\+0\.5/)
  })

  test.each(['{', '[1]', 'null', '@missing.json'])('takes no %s for data', async text => {
    const peer = await peerOf(() => ({ json: OUTCOME }))
    const { code } = await galley(['decisions', 'decide', 'f', 'p', text], { url: peer.url })
    expect([code > 0, peer.asked.length]).toEqual([true, 0])
  })
})

describe('replay', () => {
  const replayed = (differs: string[]) =>
    peerOf(() => ({
      json: { equal: differs.length === 0, differs, decided: OUTCOME, replayed: OUTCOME },
    }))

  test('ends well when every bit is the same', async () => {
    const { url } = await replayed([])
    expect(await galley(['replay', 'fraud', 'p1'], { url })).toMatchObject({
      code: 0,
      out: expect.stringContaining('to the last bit'),
    })
  })

  test('ends with exit code 1 and what differs otherwise', async () => {
    const { url } = await replayed(['score', 'answer'])
    expect(await galley(['replay', 'fraud', 'p1'], { url })).toMatchObject({
      code: 1,
      err: expect.stringContaining('score, answer'),
    })
  })
})

test.each<[string, unknown]>([
  ['true', true],
  ['false', false],
  ['1.5', 1.5],
  ['stolen', 'stolen'],
])('a label %s is sent as what it is', async (text, label) => {
  const peer = await peerOf(() => ({
    json: { outcome: null, label: { value: label }, at: '2026-11-27T10:00:00Z' },
  }))
  const { code } = await galley(['decisions', 'feedback', 'fraud', 'p1', text], { url: peer.url })
  expect(code).toBe(0)
  expect(JSON.parse(String(peer.asked[0]!.body))).toMatchObject({
    endpoint: 'fraud',
    id: 'p1',
    label,
  })
})

test('a backtest shows what would be answered otherwise, by label, and what says nothing', async () => {
  await writeFile(join(folder, 'stricter.json'), '{"otherwise": "ask"}')
  const tried = {
    decisions: 12,
    compared: 10,
    changed: 3,
    skipped: { unanswered: 0, other_features: 2, other_model: 0 },
    answers: [
      { from: 'approve', to: 'approve', count: 7, labels: { false: 6, true: 1 } },
      { from: 'approve', to: 'decline', count: 3, labels: {} },
    ],
    examples: [],
  }
  const peer = await peerOf(() => ({ json: tried }))
  const args = ['decisions', 'backtest', 'fraud', 'stricter.json', '--limit', '500']
  const { out } = await galley(args, { url: peer.url })
  expect(JSON.parse(String(peer.asked[0]!.body))).toEqual({
    definition: { otherwise: 'ask' },
    limit: 500,
  })
  expect(out).toMatch(/approve +decline +3/)
  expect(out).toContain('false: 6, true: 1')
  expect(out).toContain('3 of 10')
  expect(out).toContain('2 other features')
})
