/** What people type into an enrollment token's terms. */

/** Items between commas, blanks or line breaks. */
export function listOf(text: string): string[] {
  return text.split(/[\s,]+/).filter((item) => item !== '')
}

/** `key=value` per item; null if one is not. */
export function labelsOf(text: string): Record<string, string> | null {
  const pairs = listOf(text).map((item) => {
    const at = item.indexOf('=')
    return at > 0 ? ([item.slice(0, at), item.slice(at + 1)] as const) : null
  })
  return pairs.includes(null) ? null : Object.fromEntries(pairs.filter((pair) => pair !== null))
}
