import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { duration } from '../duration'
import { parseCast, timesOf, type CastEvent } from './cast'
import { Playback } from './playback'

const CAST = `{"version":2,"width":80,"height":24,"duration":70.5}
[0.5,"o","one"]
[1,"i","typed"]
[61,"r","100x30"]
[62,"o","two\\u001b[1m"]
`

describe('a recording', () => {
  test('is read line by line, and what is none of its lines is passed over', () => {
    const cast = parseCast(`${CAST}[63,"r","0x5000"]\n[64,"o"`)
    expect([cast.columns, cast.rows, cast.seconds]).toEqual([80, 24, 70.5])
    expect(cast.events.map((event) => event.kind)).toEqual(['output', 'resize', 'output', 'resize'])
    expect(cast.events[1]).toEqual({ at: 61, kind: 'resize', columns: 100, rows: 30 })
    expect(cast.events[3]).toEqual({ at: 63, kind: 'resize', columns: 80, rows: 24 })
    expect(() => parseCast('{"version":1}')).toThrow()
    expect(() => parseCast('')).toThrow()
  })

  test('takes as long as it took, or as long as without its pauses', () => {
    const cast = parseCast(CAST)
    expect(timesOf(cast, false)).toEqual({ times: [0.5, 61, 62], total: 70.5 })
    expect(timesOf(cast, true)).toEqual({ times: [0.5, 2.5, 3.5], total: 5.5 })
  })

  test('has its length in minutes', () => {
    expect([0, 59.9, 247, 3729].map(duration)).toEqual(['0:00', '0:59', '4:07', '1:02:09'])
  })
})

describe('a playback', () => {
  let shown: string[]
  const stage = {
    clear: (columns: number, rows: number) => {
      shown = [`${String(columns)}x${String(rows)}`]
    },
    show: (event: CastEvent) => {
      shown.push(event.kind === 'output' ? event.text : event.kind)
    },
  }

  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test('shows what is due, faster where that is wished, and ends by itself', () => {
    const playback = new Playback(parseCast(CAST), stage, true)
    playback.play()
    vi.advanceTimersByTime(1_000)
    expect(shown).toEqual(['80x24', 'one'])
    playback.speed.value = 4
    vi.advanceTimersByTime(700)
    expect(shown).toEqual(['80x24', 'one', 'resize', 'two\u001b[1m'])
    vi.advanceTimersByTime(2_000)
    expect(playback.isPlaying.value).toBe(false)
    expect(playback.position.value).toBe(playback.total.value)
    playback.toggle()
    expect(shown).toEqual(['80x24'])
    playback.pause()
  })

  test('goes forward and back, and stays where it is when pauses are played', () => {
    const playback = new Playback(parseCast(CAST), stage, true)
    playback.seek(3)
    expect(shown).toEqual(['80x24', 'one', 'resize'])
    playback.shorten(false)
    expect([playback.position.value, playback.total.value]).toEqual([61, 70.5])
    playback.seek(1)
    expect(shown).toEqual(['80x24', 'one'])
    playback.seek(1_000)
    expect(playback.position.value).toBe(70.5)
    expect(shown).toHaveLength(4)
  })
})
