/** Which element stands for which row of a long list: changing the texts of an element that left the window costs less than making one. */

export interface Place {
  index: number
  /** Names the element. */
  key: number
}

/** Gives each row an element: its own if it had one, else that of a row that left, in the order in which they stand so that few of them move. */
export function recycled(before: Place[], indices: number[]): Place[] {
  const stay = new Set(indices)
  const own = new Map(before.map(({ index, key }) => [index, key]))
  const free = before.filter(({ index }) => !stay.has(index)).map(({ key }) => key)
  let next = Math.max(-1, ...before.map(({ key }) => key)) + 1
  return indices.map((index) => ({ index, key: own.get(index) ?? free.shift() ?? next++ }))
}
