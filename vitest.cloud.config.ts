import { defineConfig } from 'vitest/config'

/** `npm run check:cloud` says which files. */
export default defineConfig({
  test: {
    globalSetup: ['tests/database-server.ts', 'tests/cloud/setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
})
