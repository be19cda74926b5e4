/** The terminals that this window has open: which they are is remembered for as long as the window lives, so that a page
 *  that is loaded again finds its shells again. */
import { useMutation } from '@tanstack/vue-query'
import { computed, ref, type Ref } from 'vue'

import { api, take } from '@/api/client'
import type { NewTerminal, Terminal } from '@/api/types'

/** A terminal of this window. */
export interface OpenTerminal {
  id: string
  environment: string
  container: string
  /** What runs in it; null is the main process. */
  command: string | null
  tty: boolean
  takesInput: boolean
}

const STORED = 'windflow.terminals'

/** The terminals of one container, and opening and closing them. */
export function useTerminals(environment: Ref<string>, container: Ref<string>) {
  const all = ref(recall())
  const own = computed(() => all.value.filter((one) => one.environment === environment.value && one.container === container.value))

  function keep(next: OpenTerminal[]) {
    all.value = next
    remember(next)
  }

  const opening = useMutation({
    mutationFn: (terminal: NewTerminal) =>
      take(
        api.POST('/api/v1/environments/{id}/containers/{container}/terminals', {
          params: { path: { id: environment.value, container: container.value } },
          body: terminal,
        }),
      ),
    onSuccess: (opened) => {
      keep([...all.value, known(opened)])
    },
  })

  /** Forgets it here, and ends it at the hub, where it may be over already. */
  function close(id: string) {
    keep(all.value.filter((one) => one.id !== id))
    void take(api.DELETE('/api/v1/terminals/{id}', { params: { path: { id } } })).catch(() => undefined)
  }

  return { own, opening, close }
}

/** Whether the hub has this terminal; null where it could not be asked. */
export async function terminalExists(id: string): Promise<boolean | null> {
  try {
    const { items } = await take(api.GET('/api/v1/terminals', { params: { query: { limit: 200 } } }))
    return items.some((one) => one.id === id)
  } catch {
    return null
  }
}

function known(terminal: Terminal): OpenTerminal {
  return {
    id: terminal.id,
    environment: terminal.environment_id,
    container: terminal.container,
    command: terminal.command?.join(' ') ?? null,
    tty: terminal.tty,
    takesInput: terminal.takes_input,
  }
}

function recall(): OpenTerminal[] {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(STORED) ?? '[]')
    return Array.isArray(stored) ? (stored as OpenTerminal[]) : []
  } catch {
    return []
  }
}

function remember(terminals: OpenTerminal[]) {
  try {
    sessionStorage.setItem(STORED, JSON.stringify(terminals))
  } catch {
    // A browser without storage forgets them with the page.
  }
}
