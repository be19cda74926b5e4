/** Sizes for people, in their language. */
const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte', 'petabyte'] as const
/** Engines, and the tools that people know, count in thousands. */
const STEP = 1000

/** Bytes in the largest unit of which there is one at least, such as "187 MB". */
export function size(bytes: number, language: string): string {
  const power = bytes < STEP ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3))
  const value = bytes / STEP ** power
  const maximumFractionDigits = power > 0 && value < 10 ? 1 : 0
  return new Intl.NumberFormat(language, { style: 'unit', unit: UNITS[power], unitDisplay: power === 0 ? 'narrow' : 'short', maximumFractionDigits }).format(value)
}
