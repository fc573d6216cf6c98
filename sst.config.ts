/// <reference path="./.sst/platform/config.d.ts" />
/**
 * A deployment to the accounts of whoever calls sst. What it consists of stands in `stacks/`; the versions of
 * the providers are those that `npm run check:stacks` evaluates it with.
 */
export default $config({
  app: input => ({
    name: 'galley',
    home: 'aws',
    protect: input?.stage === 'production',
    removal: input?.stage === 'production' ? 'retain' : 'remove',
    providers: { aws: '7.20.0', cloudflare: '6.15.0' },
  }),
  async run() {
    const { readEnv } = await import('./stacks/env.ts')
    const { deploy } = await import('./stacks/main.ts')
    deploy(readEnv($app.stage))
  },
})
