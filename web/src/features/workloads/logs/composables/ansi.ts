/** What terminals make of escape sequences: colours and weights are kept, everything else is taken out. */

/** A stretch of text that looks the same throughout. */
export interface Stretch {
  text: string
  classes: string
}

interface Look {
  ink: number | null
  ground: number | null
  bold: boolean
  faint: boolean
  italic: boolean
  underlined: boolean
  swapped: boolean
}

const PLAIN: Look = { ink: null, ground: null, bold: false, faint: false, italic: false, underlined: false, swapped: false }

/** Black, red, green, yellow, blue, magenta, cyan, white: as colours that can be read in both themes. */
const INKS = ['text-faint', 'text-bad', 'text-good', 'text-warn', 'text-note', 'text-grape', 'text-accent', 'text-ink'] as const
const GROUNDS = ['bg-sunken', 'bg-bad-soft', 'bg-good-soft', 'bg-warn-soft', 'bg-note-soft', 'bg-grape-soft', 'bg-accent-soft', 'bg-sunken'] as const

/** CSI and OSC sequences, two-character ones, and control characters that say nothing here. */
// eslint-disable-next-line no-control-regex -- control characters are what this is about
const SEQUENCES = /\u001b\[([0-9;:]*)m|\u001b\[[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|\u001b[@-Z\\-_]?|[\u0000-\u0008\u000b-\u001a\u001c-\u001f\u007f]/g

/** The text as it stands on a terminal's line: what a carriage return went back to is written over. */
export function lastWritten(text: string): string {
  const end = text.endsWith('\r') ? text.length - 1 : text.length
  const start = text.lastIndexOf('\r', end - 1)
  return text.slice(start + 1, end)
}

/** The text without anything that only a terminal understands. */
export function plainText(text: string): string {
  return lastWritten(text).replace(SEQUENCES, '')
}

/** The text in stretches, each with its classes. */
export function stretches(text: string): Stretch[] {
  const line = lastWritten(text)
  const found: Stretch[] = []
  let look = PLAIN
  let from = 0
  const add = (end: number) => {
    if (end > from) found.push({ text: line.slice(from, end), classes: classesOf(look) })
  }
  for (const match of line.matchAll(SEQUENCES)) {
    add(match.index)
    from = match.index + match[0].length
    if (match[1] !== undefined) look = changed(look, match[1])
  }
  add(line.length)
  return found
}

function changed(before: Look, codes: string): Look {
  const numbers = codes.split(/[;:]/).map(Number)
  let look = { ...before }
  for (let at = 0; at < numbers.length; at++) {
    const code = numbers[at] ?? 0
    if (code === 38 || code === 48) {
      const [colour, taken] = wideColour(numbers.slice(at + 1))
      if (code === 38) look.ink = colour
      else look.ground = colour
      at += taken
    } else look = simple(look, code)
  }
  return look
}

function simple(look: Look, code: number): Look {
  if (code === 0) return PLAIN
  if (code >= 30 && code <= 37) return { ...look, ink: code - 30 }
  if (code >= 90 && code <= 97) return { ...look, ink: code - 90 }
  if (code >= 40 && code <= 47) return { ...look, ground: code - 40 }
  if (code >= 100 && code <= 107) return { ...look, ground: code - 100 }
  switch (code) {
    case 1:
      return { ...look, bold: true }
    case 2:
      return { ...look, faint: true }
    case 3:
      return { ...look, italic: true }
    case 4:
      return { ...look, underlined: true }
    case 7:
      return { ...look, swapped: true }
    case 22:
      return { ...look, bold: false, faint: false }
    case 23:
      return { ...look, italic: false }
    case 24:
      return { ...look, underlined: false }
    case 27:
      return { ...look, swapped: false }
    case 39:
      return { ...look, ink: null }
    case 49:
      return { ...look, ground: null }
    default:
      return look
  }
}

/** One of 256 colours, or any at all, as the nearest of the eight; and how many numbers that took. */
function wideColour(numbers: number[]): [number | null, number] {
  const [form, ...rest] = numbers
  if (form === 5) return [ofPalette(rest[0] ?? 0), 2]
  if (form === 2) return [nearest(rest[0] ?? 0, rest[1] ?? 0, rest[2] ?? 0), 4]
  return [null, 0]
}

function ofPalette(number: number): number {
  if (number < 16) return number % 8
  if (number >= 232) return number < 244 ? 0 : 7
  const cube = number - 16
  return nearest(Math.floor(cube / 36) * 51, (Math.floor(cube / 6) % 6) * 51, (cube % 6) * 51)
}

/** Each of red, green and blue is there or not, measured at the strongest. */
function nearest(red: number, green: number, blue: number): number {
  const strongest = Math.max(red, green, blue)
  if (strongest < 64) return 0
  const has = (part: number) => part > strongest * 0.6
  return (has(red) ? 1 : 0) + (has(green) ? 2 : 0) + (has(blue) ? 4 : 0)
}

function classesOf(look: Look): string {
  const { ink, ground, bold, faint, italic, underlined, swapped } = look
  const [front, back] = swapped ? [ground, ink ?? 7] : [ink, ground]
  const classes = [
    front === null ? (faint ? 'text-muted' : '') : INKS[front],
    back === null ? '' : GROUNDS[back],
    bold ? 'font-semibold' : '',
    italic ? 'italic' : '',
    underlined ? 'underline' : '',
  ]
  return classes.filter(Boolean).join(' ')
}
