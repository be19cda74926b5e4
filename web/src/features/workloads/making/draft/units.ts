/** Sizes and times as people write them. */
import { FieldError } from './fieldError'

const UNITS = ['', 'k', 'm', 'g', 't']
const TIMES: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** Bytes in the largest unit that is whole. */
export function sizeText(bytes: number): string {
  let power = 0
  let size = bytes
  while (size > 0 && size % 1024 === 0 && power < UNITS.length - 1) {
    size /= 1024
    power += 1
  }
  return `${size}${UNITS[power] ?? ''}`
}

/** Bytes of a text such as `512m`. */
export function readSize(text: string): number {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?$/i.exec(text.trim()) ?? []
  if (digits === undefined) throw new FieldError('size')
  return Math.floor(Number(digits) * 1024 ** UNITS.indexOf(unit.toLowerCase()))
}

/** Milliseconds such as `1m30s`. */
export function millisText(millis: number | null): string {
  if (millis === null) return ''
  let rest = millis
  let text = ''
  for (const unit of ['h', 'm', 's', 'ms']) {
    const count = Math.floor(rest / (TIMES[unit] ?? 1))
    if (count > 0) text += `${count}${unit}`
    rest -= count * (TIMES[unit] ?? 1)
  }
  return text || '0s'
}

/** Milliseconds of a text such as `1m30s`; none where nothing is said. */
export function readMillis(text: string): number | null {
  const typed = text.trim()
  if (typed === '') return null
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(typed)) throw new FieldError('time')
  return [...typed.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)].reduce((sum, [, count, unit]) => sum + Number(count) * (TIMES[unit ?? ''] ?? 0), 0)
}
