/** Labels as people type them: one on each line. */

const KEY = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/

/** `key=value` or `key` on each line; null if one is neither. */
export function labelsFrom(text: string): Record<string, string> | null {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  const pairs = lines.map((line) => {
    const at = line.indexOf('=')
    return at < 0 ? ([line, ''] as const) : ([line.slice(0, at).trim(), line.slice(at + 1).trim()] as const)
  })
  return pairs.every(([key]) => KEY.test(key)) ? Object.fromEntries(pairs) : null
}

export function linesOfLabels(labels: Record<string, string>): string {
  return Object.entries(labels)
    .map(([key, value]) => (value === '' ? key : `${key}=${value}`))
    .join('\n')
}
