/** Secrets Manager's GetSecretValue (its JSON 1.1 protocol), as far as a function uses it, on loopback. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export type SecretsServer = { url: string; asked: string[]; close(): void }

/** `null`: the secret is there, and nobody has put a value in. */
export async function serveSecrets(values: Record<string, string | null>): Promise<SecretsServer> {
  const asked: string[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { SecretId: id } = JSON.parse(Buffer.concat(chunks).toString())
    const type = { 'content-type': 'application/x-amz-json-1.1' }
    const isSigned = request.headers.authorization?.startsWith('AWS4-HMAC-SHA256 ')
    const isAsked = request.headers['x-amz-target'] === 'secretsmanager.GetSecretValue'
    asked.push(id)
    const value = values[id]
    if (!isSigned || !isAsked || value === undefined) {
      const refusal = { __type: 'AccessDeniedException', Message: `not authorized to read ${id}` }
      return response.writeHead(400, type).end(JSON.stringify(refusal))
    }
    if (value === null) {
      const refusal = {
        __type: 'ResourceNotFoundException',
        Message:
          "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
      }
      return response.writeHead(400, type).end(JSON.stringify(refusal))
    }
    response.writeHead(200, type).end(JSON.stringify({ ARN: id, Name: id, SecretString: value }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close: () => server.close(),
  }
}
