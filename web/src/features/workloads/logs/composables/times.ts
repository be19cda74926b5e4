/** The times of lines, in the browser's time zone, good to the millisecond. Formats are dear and made once. */

const days = new Map<string, Intl.DateTimeFormat>()
const clocks = new Map<string, Intl.DateTimeFormat>()

function made(formats: Map<string, Intl.DateTimeFormat>, language: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const format = formats.get(language) ?? new Intl.DateTimeFormat(language, options)
  formats.set(language, format)
  return format
}

const CLOCK: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23' }

/** The time of day. */
export function timeOfDay(time: number, language: string): string {
  return made(clocks, language, CLOCK).format(time)
}

/** The day and the time, with its zone. */
export function dayAndTime(time: number, language: string): string {
  return made(days, language, { ...CLOCK, year: 'numeric', month: 'short', day: 'numeric', timeZoneName: 'short' }).format(time)
}

/** A time as `datetime-local` has it. */
export function localMoment(time: number): string {
  const moment = new Date(time)
  return new Date(time - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 19)
}
