/** The API's description, made from the routes' contracts. */
import { openApiDocument } from '#schemas/openapi.ts'

let text: string | undefined

export function openApi(): Response {
  text ??= JSON.stringify(openApiDocument())
  return new Response(text, { headers: { 'content-type': 'application/json' } })
}
