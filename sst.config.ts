/// <reference path="./.sst/platform/config.d.ts" />
/**
 * Where a deployment will be put together from `stacks/`, one small file per resource group. There are
 * none yet, so a deployment is refused rather than left half made.
 */
export default $config({
  app: () => ({ name: 'galley', home: 'aws' }),
  async run() {
    throw new Error(
      'Galley cannot be deployed to a cloud yet; run it on one machine with "npm start".',
    )
  },
})
