/** That the tour test would notice: blocks it must find, and output that is not what was shown. */
import { expect, test } from 'vitest'
import { isShown, snippetsOf } from './snippets.ts'

test('every block of commands is found, with the output that follows it', () => {
  const text = 'a\n\n```sh\none\n```\n\n```text\n1\n```\n\nb\n\n```sh\ntwo\n```\n'
  expect(snippetsOf(text)).toEqual([
    { commands: 'one\n', shows: '1\n', line: 3 },
    { commands: 'two\n', shows: null, line: 13 },
  ])
})

test('an output other than the one shown is seen', () => {
  expect(isShown('rows 150 (all)\nid 17\n', 'rows 150 (all)\nid …\n')).toBe(true)
  expect(isShown('rows 149 (all)\nid 17\n', 'rows 150 (all)\nid …\n')).toBe(false)
  expect(isShown('rows 150 (all)\nid 17\nfault', 'rows 150 (all)\nid 17')).toBe(false)
})
