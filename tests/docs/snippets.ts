/** Fenced blocks of a Markdown file, and what a block of commands is said to print. */

export type Block = { language: string; body: string; line: number }
/** Commands, and the block right after them that shows their output. */
export type Snippet = { commands: string; shows: string | null; line: number }

const FENCE = /^```(?<language>\S*)\n(?<body>[\s\S]*?)^```$/gm

export function blocksOf(markdown: string): Block[] {
  return [...markdown.matchAll(FENCE)].map(match => ({
    language: match.groups!.language!,
    body: match.groups!.body!,
    line: markdown.slice(0, match.index).split('\n').length,
  }))
}

/** `sh` blocks in order. Other blocks are the output of the one before. */
export function snippetsOf(markdown: string): Snippet[] {
  const snippets: Snippet[] = []
  for (const { language, body, line } of blocksOf(markdown)) {
    const last = snippets.at(-1)
    if (language === 'sh') snippets.push({ commands: body, shows: null, line })
    else if (last) last.shows = body
  }
  return snippets
}

/** Whether an output is what a document shows; there, `…` stands for anything. */
export function isShown(output: string, shown: string): boolean {
  const parts = shown
    .trim()
    .split('…')
    .map(part => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('[\\s\\S]*')}$`).test(output.trim())
}
