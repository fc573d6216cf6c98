/** How the functions are reached follows from their URL: over HTTP, or as a function of Lambda by its name. */

export type Functions = (request: Request) => Promise<Response>

/** `lambda://<name>` is invoked with the role that this process has. A URL has no room for an alias. */
export async function openFunctions(url: string): Promise<Functions> {
  const { protocol, host } = new URL(url)
  if (protocol !== 'lambda:') return request => fetch(request)
  const { invokedFunctions, lambdaClient } = await import('./invoke.ts')
  return invokedFunctions({ client: lambdaClient(), name: host })
}
