/** Reads in Feast's form, of so many entities each, for either server. */
import type { Work } from '../open-loop.ts'

type Args = { prefix: string; cards: string[]; entities: number }

export function work({ prefix, cards, entities }: Args): Work {
  return {
    request: i => ({
      path: `${prefix}/get-online-features`,
      body: JSON.stringify({
        feature_service: 'fifty',
        entities: {
          card: Array.from(
            { length: entities },
            (_, j) => cards[((i * entities + j) * 7919) % cards.length],
          ),
        },
      }),
    }),
  }
}
