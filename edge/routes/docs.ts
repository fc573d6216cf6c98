/** The page that the `type` of every problem points at. */
import { ERRORS } from '#schemas/errors.ts'

let page: string | undefined

export function errorsPage(): Response {
  page ??= html()
  return new Response(page, { headers: { 'content-type': 'text/html; charset=utf-8' } })
}

function html(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { status, title }]) =>
      `<tr id="${code}"><td><code>${code}</code></td><td>${status}</td><td>${title}</td></tr>`,
  )
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Errors of Galley</title>
<meta name="viewport" content="width=device-width"><style>
:root{color-scheme:light dark}body{font:16px/1.5 system-ui;max-width:48rem;margin:3rem auto;padding:0 1rem}
td,th{text-align:left;padding:.4rem 1rem .4rem 0;border-bottom:1px solid #8884}tr:target{background:#fd06}
</style><h1>Errors</h1><p>Every error is a problem document (RFC 9457) with one of these codes.</p>
<table><tr><th>code</th><th>status</th><th>meaning</th></tr>${rows.join('')}</table></html>`
}
