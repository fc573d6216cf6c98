/** What must not stand in any log, for every runtime that writes one. */

/** API keys, bearer headers, internal tokens, passwords in URLs. */
export const SECRETS = [
  /gly_(live|test)_([0-9A-Za-z]{12})_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}/g,
  /(Bearer) +[^\s"\\]+/gi,
  /\bv1\.(edge|functions|runner|supervisor)\.[\w-]+\.[\w-]+/g,
  /(:\/\/[^\s:/"@]+):[^\s/"@]+@/g,
]

export function redacted(text: string): string {
  let clean = text
  for (const secret of SECRETS) clean = clean.replace(secret, '[redacted]')
  return clean
}
