import { describe, expect, test } from 'vitest'

import { plainText, stretches } from './ansi'
import { downloadPath, firstChoices, selectionOf, shortName, sourcesOf } from './choices'
import { LogRing, type LogLine } from './ring'
import { nextPlace, partsOf, Search } from './search'

function line(text: string, time: number | null = 0): LogLine {
  return { source: 0, time, text, isError: false, isCut: false, skipped: time === null ? 3 : 0 }
}

describe('escape sequences', () => {
  test('become classes, and what is no colour is taken out', () => {
    expect(stretches('a\u001b[31;1mb\u001b[0mc')).toEqual([
      { text: 'a', classes: '' },
      { text: 'b', classes: 'text-bad font-semibold' },
      { text: 'c', classes: '' },
    ])
    expect(plainText('\u001b]0;title\u0007\u001b[2K\u001b[1;1Hplain\u001b[m\u0000')).toBe('plain')
  })

  test('of 256 and of all colours become the nearest one', () => {
    const classes = (codes: string) => stretches(`\u001b[${codes}mx`)[0]?.classes
    expect(classes('38;5;196')).toBe('text-bad')
    expect(classes('38;2;10;200;20')).toBe('text-good')
    expect(classes('38;2;200;200;20;4')).toBe('text-warn underline')
    expect(classes('48;5;21')).toBe('bg-note-soft')
    expect(classes('7')).toBe('bg-sunken')
    expect(classes('31;39')).toBe('')
  })

  test('a carriage return writes over what was there', () => {
    expect(plainText('10 %\r50 %\r100 %\r')).toBe('100 %')
    expect(plainText('end\r')).toBe('end')
    expect(plainText('\r')).toBe('')
  })

  test('that are cut off, or are nonsense, harm nobody', () => {
    for (const text of ['\u001b', '\u001b[', '\u001b[31', '\u001b]0;never ends', '\u001b[999999999999m', '\u001b[38;5m', '\u001b[38;2;1m']) {
      expect(() => stretches(text)).not.toThrow()
    }
  })
})

describe('the ring', () => {
  test('keeps the last lines under their numbers', () => {
    const ring = new LogRing(3)
    for (const text of ['a', 'b', 'c', 'd']) ring.push(line(text))
    expect([ring.first, ring.end, ring.size]).toEqual([1, 4, 3])
    expect([0, 1, 3, 4].map((number) => ring.at(number)?.text)).toEqual([undefined, 'b', 'd', undefined])
    ring.clear()
    ring.push(line('e'))
    expect([ring.first, ring.at(4)?.text]).toEqual([4, 'e'])
  })

  test('finds the first line of a moment, marks or not', () => {
    const ring = new LogRing(10)
    for (const time of [10, 20, null, 30, 30, 40]) ring.push(line('x', time))
    expect([5, 10, 15, 25, 30, 35, 50].map((time) => ring.firstSince(time))).toEqual([0, 0, 1, 2, 2, 5, 6])
  })
})

describe('searching', () => {
  test('finds lines as they come, without their colours, and forgets those that left', () => {
    const ring = new LogRing(3)
    const search = new Search(ring, 'WARN')
    for (const text of ['warn 1', 'x', '\u001b[33mwa\u001b[0mrn 2']) ring.push(line(text))
    expect(search.update()).toEqual([0, 2])
    ring.push(line('warn 3'))
    expect(search.update()).toEqual([2, 3])
    ring.push(line('y'))
    ring.push(line('y'))
    ring.push(line('y'))
    expect(search.update()).toEqual([])
    ring.push(line('warn 4'))
    expect(search.update()).toEqual([7])
  })

  test('goes on to the next and the one before, around the ends', () => {
    const found = [2, 5, 9]
    expect([nextPlace(found, 0, 1), nextPlace(found, 2, 1), nextPlace(found, 9, 1)]).toEqual([0, 1, 0])
    expect([nextPlace(found, 100, -1), nextPlace(found, 5, -1), nextPlace(found, 2, -1), nextPlace(found, 6, -1)]).toEqual([2, 0, 2, 1])
    expect(nextPlace([], 3, 1)).toBe(-1)
  })

  test('marks what was found also where its colour changes', () => {
    expect(partsOf('a\u001b[31mbc\u001b[0md', 'BCD')).toEqual([
      { text: 'a', classes: '', isFound: false },
      { text: 'bc', classes: 'text-bad', isFound: true },
      { text: 'd', classes: '', isFound: true },
    ])
    expect(partsOf('xaxax', 'a').filter(({ isFound }) => isFound)).toHaveLength(2)
  })
})

describe('choices', () => {
  test('become what the hub is asked for', () => {
    const now = Date.UTC(2026, 0, 1)
    expect(selectionOf(firstChoices(), now)).toEqual({ tail: 500, since: null, until: null, stream: null, text: null, regex: null, ignore_case: false })
    const chosen = { ...firstChoices(), beginning: 'hour' as const, filter: 'a+', isPattern: true, stream: 'stderr' as const }
    expect(selectionOf(chosen, now)).toMatchObject({ tail: 100_000, since: '2025-12-31T23:00:00.000Z', stream: 'stderr', text: null, regex: 'a+', ignore_case: true })
  })

  test('a download is asked for with them', () => {
    const select = selectionOf({ ...firstChoices(), filter: 'a b' }, 0)
    expect(downloadPath({ environment: 'e', container: 'web' }, select)).toBe('/api/v1/environments/e/containers/web/logs?timestamps=true&text=a+b&ignore_case=true')
  })

  test('an address names its containers, each once, and nothing else', () => {
    const id = '0197a3c2-0000-7000-8000-000000000001'
    expect(sourcesOf([`${id}/web`, `${id}/web`, `${id}/../x`, 'nonsense', null])).toEqual([{ environment: id, container: 'web' }])
    expect(sourcesOf(undefined)).toEqual([])
    expect(shortName('a'.repeat(64))).toBe('a'.repeat(12))
  })
})
