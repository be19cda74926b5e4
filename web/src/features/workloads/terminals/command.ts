/** What somebody types to say what a terminal should run, in the parts that a container takes. */

/** The parts of a command line: split at spaces, what is quoted in one piece, as a shell does. None where a quote is
 *  left open or nothing is named. */
export function commandParts(line: string): string[] | null {
  const parts: string[] = []
  let part: string | null = null
  let quote = ''
  for (let at = 0; at < line.length; at++) {
    const letter = line.charAt(at)
    if (quote) {
      if (letter === quote) quote = ''
      else part = (part ?? '') + (escapes(quote, letter, line.charAt(at + 1)) ? line.charAt(++at) : letter)
    } else if (letter === '"' || letter === "'") {
      quote = letter
      part ??= ''
    } else if (letter === '\\' && at + 1 < line.length) {
      part = (part ?? '') + line.charAt(++at)
    } else if (/\s/.test(letter)) {
      if (part !== null) parts.push(part)
      part = null
    } else {
      part = (part ?? '') + letter
    }
  }
  if (part !== null) parts.push(part)
  return quote || !parts[0] ? null : parts
}

/** Between double quotes a backslash stands for itself, but before these. */
function escapes(quote: string, letter: string, next: string): boolean {
  return quote === '"' && letter === '\\' && /["\\$`]/.test(next)
}

/** One variable in each line that has something in it. None where one is not `KEY=value`. */
export function variables(text: string): string[] | null {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '')
  return lines.every((line) => line.indexOf('=') > 0) ? lines : null
}
