import { encode } from 'uqr'
import { describe, expect, test } from 'vitest'

import { pathOf } from './qr'
import { grouped, recoveryFile } from './texts'

/** The fields that a path of rectangles covers. */
function covered(path: string): Set<string> {
  const fields = new Set<string>()
  for (const [, x, y, length] of path.matchAll(/M(\d+) (\d+)h(\d+)v1h-\3z/g)) {
    for (let at = Number(x); at < Number(x) + Number(length); at += 1) fields.add(`${at},${y}`)
  }
  return fields
}

describe('the QR code', () => {
  test('has every dark field and no other', () => {
    const code = encode('otpauth://totp/Windflow:ada?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ', { ecc: 'M', border: 4 })
    const dark = code.data.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? [`${x},${y}`] : [])))
    expect(dark.length).toBeGreaterThan(100)
    expect([...covered(pathOf(code.data))].sort()).toEqual(dark.sort())
    expect(code.data[0]?.some(Boolean)).toBe(false)
  })

  test('draws what touches in a row as one', () => {
    expect(pathOf([[true, true, false, true], [false, false, false, false]])).toBe('M0 0h2v1h-2zM3 0h1v1h-1z')
  })
})

describe('what is shown once', () => {
  test('a secret is easier to type in groups', () => {
    expect(grouped('GEZDGNBVGY3TQOJQ')).toBe('GEZD GNBV GY3T QOJQ')
    expect(grouped('GEZDG')).toBe('GEZD G')
  })

  test('a file of recovery codes says what it is and has each on a line of its own', () => {
    expect(recoveryFile('Recovery codes of ada', ['a-b', 'c-d'])).toBe('Recovery codes of ada\n\na-b\nc-d\n')
  })
})
