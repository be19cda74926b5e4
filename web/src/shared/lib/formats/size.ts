/** Sizes for people, in their language. */
const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte', 'petabyte'] as const
/** Engines, and the tools that people know, count in thousands. */
const STEP = 1000

/** Bytes in the largest unit of which there is one at least, such as "187 MB". */
export function size(bytes: number, language: string): string {
  const power = bytes < STEP ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3))
  const value = bytes / STEP ** power
  const maximumFractionDigits = power > 0 && value < 10 ? 1 : 0
  // Bytes are a whole word in the short form, and without a space in the narrow one: they take the space of kilobytes.
  const parts = new Intl.NumberFormat(language, { style: 'unit', unit: UNITS[Math.max(1, power)], unitDisplay: 'short', maximumFractionDigits }).formatToParts(value)
  return parts.map((part) => (power === 0 && part.type === 'unit' ? byteSign(language) : part.value)).join('')
}

/** "B", or "o" in French. */
function byteSign(language: string): string {
  const parts = new Intl.NumberFormat(language, { style: 'unit', unit: UNITS[0], unitDisplay: 'narrow' }).formatToParts(0)
  return parts.find(({ type }) => type === 'unit')?.value ?? ''
}
