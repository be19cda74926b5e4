/** Whether environments are shown as tiles or as a table, as somebody has chosen it in this browser. */
import { ref } from 'vue'

export const VIEWS = ['tiles', 'table'] as const
export type View = (typeof VIEWS)[number]

const STORED = 'windflow.environments.view'

/** What is stored may be of another version. */
export function viewOf(stored: string | null): View {
  return VIEWS.find((view) => view === stored) ?? 'tiles'
}

const chosen = ref(viewOf(read()))

export function useView() {
  function choose(view: View) {
    chosen.value = view
    write(view)
  }
  return { view: chosen, choose }
}

function read(): string | null {
  try {
    return localStorage.getItem(STORED)
  } catch {
    return null
  }
}

/** A browser that stores nothing shows it until it is closed. */
function write(view: View) {
  try {
    localStorage.setItem(STORED, view)
  } catch {
    return
  }
}
