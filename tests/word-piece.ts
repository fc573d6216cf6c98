/** A tokeniser in the form of BERT's, made in code: a `tokenizer.json` as Hugging Face's libraries save it. */

const WORDS =
  'the a of and runner model text word more some few with comma full stop sentence'.split(' ')
const PIECES = ['serve', '##s', '##r', '##er', 'größ', 'gross', '##l', '##el']
const LETTERS = [...'abcdefghijklmnopqrstuvwxyz0123456789.,!?-:;\'"()日本語']
const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']

/** Lower-cased WordPiece between `[CLS]` (2) and `[SEP]` (3), padding 0. */
export function wordPiece(): string {
  const letters = LETTERS.flatMap(letter => [letter, `##${letter}`])
  const tokens = [...new Set([...SPECIAL, ...letters, ...WORDS, ...PIECES])]
  const special = (content: string, id: number) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  })
  const token = (name: string, id: number) => ({ [name]: { id: name, ids: [id], tokens: [name] } })
  return JSON.stringify({
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL.map(special),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [
        { SpecialToken: { id: '[CLS]', type_id: 0 } },
        { Sequence: { id: 'A', type_id: 0 } },
        { SpecialToken: { id: '[SEP]', type_id: 0 } },
      ],
      pair: [],
      special_tokens: { ...token('[CLS]', 2), ...token('[SEP]', 3) },
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(tokens.map((name, id) => [name, id])),
    },
  })
}
