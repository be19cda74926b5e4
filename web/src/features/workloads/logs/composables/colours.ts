/** The colours by which containers are told apart, beside their names. */
const COLOURS = ['text-accent', 'text-note', 'text-grape', 'text-good', 'text-warn', 'text-bad'] as const

/** The class of the container at this place. With many, colours come again. */
export function colourOf(place: number): string {
  return COLOURS[place % COLOURS.length] ?? COLOURS[0]
}
