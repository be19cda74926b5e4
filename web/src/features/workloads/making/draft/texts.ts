/** Pairs and command lines as text. */
import { FieldError } from './fieldError'

/** Pairs as the lines of an `.env` file. */
export function pairsText(pairs: Record<string, string>): string {
  return Object.entries(pairs)
    .map(([name, value]) => `${name}=${/[\n"]|^\s|\s$|^'/.test(value) ? JSON.stringify(value) : value}`)
    .join('\n')
}

/** The lines of an `.env` file: `export`, comments and quotes are understood, nothing is expanded. */
export function readPairs(text: string): Record<string, string> {
  const pairs: Record<string, string> = {}
  for (const line of text.split('\n').map((typed) => typed.trim())) {
    if (line === '' || line.startsWith('#')) continue
    const [, name, value = ''] = /^(?:export\s+)?([^=\s]+)\s*(?:=\s*(.*))?$/.exec(line) ?? []
    if (!name) throw new FieldError('pairs')
    pairs[name] = unquote(value)
  }
  return pairs
}

function unquote(value: string): string {
  if (/^'[^']*'$/.test(value)) return value.slice(1, -1)
  if (!/^".*"$/.test(value)) return value
  try {
    return JSON.parse(value) as string
  } catch {
    return value.slice(1, -1)
  }
}

/** A command line with quotes where a word needs them. */
export function wordsText(words: string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ')
}

/** The words of a command line, as a shell would split it; nothing is expanded. */
export function readWords(text: string): string[] {
  const words: string[] = []
  let word: string | null = null
  let quote: string | null = null
  for (let at = 0; at < text.length; at += 1) {
    const letter = text.charAt(at)
    if (quote !== null) {
      if (letter === quote) quote = null
      else if (letter === '\\' && quote === '"' && '"\\$`'.includes(text.charAt(at + 1))) word = (word ?? '') + text.charAt((at += 1))
      else word = (word ?? '') + letter
    } else if (letter === "'" || letter === '"') {
      quote = letter
      word ??= ''
    } else if (letter === '\\' && at + 1 < text.length) {
      word = (word ?? '') + text.charAt((at += 1))
    } else if (/\s/.test(letter)) {
      if (word !== null) words.push(word)
      word = null
    } else word = (word ?? '') + letter
  }
  if (quote !== null) throw new FieldError('quote')
  if (word !== null) words.push(word)
  return words
}
