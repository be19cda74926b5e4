/** Short messages that something was done, or was not. */
import { readonly, ref } from 'vue'

export interface Toast {
  id: number
  tone: 'good' | 'bad'
  text: string
  /** For the hub's log, where it failed. */
  requestId: string | null
}

const STAY_MS = 6_000
const SHOWN_MAX = 4

const shown = ref<Toast[]>([])
let next = 1

export const toasts = readonly(shown)

export function tell(text: string) {
  const id = add({ tone: 'good', text, requestId: null })
  setTimeout(() => {
    dismiss(id)
  }, STAY_MS)
}

/** What failed stays until it is dismissed: it holds a request id. */
export function complain(text: string, requestId: string | null = null) {
  add({ tone: 'bad', text, requestId })
}

export function dismiss(id: number) {
  shown.value = shown.value.filter((toast) => toast.id !== id)
}

function add(toast: Omit<Toast, 'id'>): number {
  const id = next++
  shown.value = [...shown.value, { ...toast, id }].slice(-SHOWN_MAX)
  return id
}
