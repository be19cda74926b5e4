/** What a job says: read on from the last line that is known, whenever the hub tells that there may be more. */
import { onScopeDispose, ref, shallowRef, watch, type Ref } from 'vue'

import { api, take } from '@/api/client'

/** As many lines are shown as the hub keeps of most jobs. */
const LINES_MAX = 2_000

interface Excerpt {
  from: number
  lines: string[]
}

export interface Said {
  lines: string[]
  /** The number of the line after the last. */
  next: number
  /** Lines that are no longer kept. */
  lost: number
}

export const NOTHING: Said = { lines: [], next: 0, lost: 0 }

/** The lines with what came after them. */
export function withMore(said: Said, { from, lines }: Excerpt): Said {
  const all = [...said.lines, ...lines]
  const cut = Math.max(0, all.length - LINES_MAX)
  const lost = said.lost + Math.max(0, from - said.next) + cut
  return { lines: cut > 0 ? all.slice(cut) : all, next: from + lines.length, lost }
}

/** Reads on each time `version` changes. */
export function useOutput(id: string, version: Ref<unknown>) {
  const said = shallowRef<Said>(NOTHING)
  const error = ref<unknown>(null)
  const stop = new AbortController()
  let reading = false
  let again = false

  async function read() {
    if (reading) {
      again = true
      return
    }
    reading = true
    try {
      do {
        again = false
        const query = { from: said.value.next }
        const more = await take(api.GET('/api/v1/jobs/{id}/lines', { params: { path: { id }, query }, signal: stop.signal }))
        said.value = withMore(said.value, more)
        error.value = null
      } while (again)
    } catch (thrown) {
      if (!stop.signal.aborted) error.value = thrown
    } finally {
      reading = false
    }
  }

  watch(version, read, { immediate: true })
  onScopeDispose(() => {
    stop.abort()
  })
  return { said, error }
}
