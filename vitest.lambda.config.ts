import { defineConfig } from 'vitest/config'

/** `npm run check:functions` runs them. */
export default defineConfig({
  test: {
    include: ['tests/lambda/**/*.test.ts'],
    globalSetup: ['tests/lambda/setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
})
