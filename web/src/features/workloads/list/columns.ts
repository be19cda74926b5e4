/** What a list of containers shows of each, as somebody has chosen it, and in which order. */
import { ref } from 'vue'

/** The columns that can be chosen; the name is always there. */
export const COLUMNS = ['state', 'image', 'ports', 'networks', 'created', 'started', 'restarts', 'cpu', 'memory'] as const
export type Column = (typeof COLUMNS)[number]

const DEFAULT: Column[] = ['state', 'image', 'ports']
const STORED = 'windflow.containers.columns'

/** By which of them the hub orders a list. */
export const SORTS = {
  name: 'name',
  state: 'state',
  image: 'image',
  created: 'created_at',
  started: 'started_at',
  restarts: 'restarts',
  cpu: 'cpu',
  memory: 'memory',
} as const
export type Sorted = keyof typeof SORTS
export const SORTED = Object.keys(SORTS) as Sorted[]

/** A column, and whether it goes from the end to the beginning. */
export interface Order {
  by: Sorted
  down: boolean
}

export type SortParameter = (typeof SORTS)[Sorted] | `-${(typeof SORTS)[Sorted]}`

/** The order as the hub is asked for it. */
export function parameterOf({ by, down }: Order): SortParameter {
  return down ? `-${SORTS[by]}` : SORTS[by]
}

/** The order that an address asks for; by name where it asks for none. */
export function orderOf(text: unknown): Order {
  const asked = typeof text === 'string' ? text : ''
  const by = SORTED.find((known) => SORTS[known] === asked.replace(/^-/, '')) ?? 'name'
  return { by, down: by === 'name' ? asked === '-name' : asked.startsWith('-') }
}

/** Turns the order round, or begins with the other column. */
export function turned(order: Order, by: Sorted): Order {
  return { by, down: order.by === by && !order.down }
}

/** The chosen columns in their own order; what is stored may be of another version. */
export function columnsOf(stored: string | null): Column[] {
  if (stored === null) return DEFAULT
  const names = stored.split(',')
  return COLUMNS.filter((column) => names.includes(column))
}

const chosen = ref(columnsOf(read()))

/** The columns, the same in all lists of this browser. */
export function useColumns() {
  function toggle(column: Column) {
    const next = chosen.value.includes(column) ? chosen.value.filter((other) => other !== column) : [...chosen.value, column]
    chosen.value = columnsOf(next.join(','))
    write(chosen.value.join(','))
  }
  return { columns: chosen, toggle }
}

function read(): string | null {
  try {
    return localStorage.getItem(STORED)
  } catch {
    return null
  }
}

/** A browser that stores nothing shows them until it is closed. */
function write(text: string) {
  try {
    localStorage.setItem(STORED, text)
  } catch {
    return
  }
}
