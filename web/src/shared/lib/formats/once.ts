/** Formats are dear to make and cheap to use. */

/** Makes each format once for each language: a list needs them for every row. */
export function once<T>(make: (language: string) => T): (language: string) => T {
  const made = new Map<string, T>()
  return (language) => {
    const format = made.get(language) ?? make(language)
    made.set(language, format)
    return format
  }
}
