/** The protocol servers of a run of `npm run check:cloud`, started once for all of its files. */
import type { TestProject } from 'vitest/node'
import { type CloudName, type CloudServer, startFauxqs, startMoto } from './servers.ts'

declare module 'vitest' {
  interface ProvidedContext {
    clouds: { name: CloudName; endpoint: string }[]
  }
}

export default async function setup(project: TestProject) {
  const servers: CloudServer[] = [await startFauxqs()]
  const bin = process.env.GALLEY_MOTO
  if (bin) servers.push(await startMoto(bin))
  project.provide(
    'clouds',
    servers.map(({ name, endpoint }) => ({ name, endpoint })),
  )
  return async () => {
    await Promise.all(servers.map(server => server.close()))
  }
}
