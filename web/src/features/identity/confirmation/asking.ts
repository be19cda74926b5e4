/** Whether somebody is asked to confirm that it is they, for whoever shows the dialog. */
import { computed, shallowRef } from 'vue'

const answer = shallowRef<((confirmed: boolean) => void) | null>(null)

export const isAsked = computed(() => answer.value !== null)

/** Has the dialog open, until it is confirmed or given up. */
export function askToConfirm(): Promise<boolean> {
  return new Promise((resolve) => {
    answer.value = resolve
  })
}

/** Closes the dialog with what came of it. */
export function settle(confirmed: boolean) {
  answer.value?.(confirmed)
  answer.value = null
}
