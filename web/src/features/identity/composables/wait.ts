/** Counts down what the hub asks to wait after too many attempts. */
import { computed, onScopeDispose, ref } from 'vue'

import { ApiFailure } from '@/api/failure'

export function useWait() {
  const seconds = ref(0)
  let until = 0
  let timer: ReturnType<typeof setInterval> | undefined

  function startAfter(thrown: unknown) {
    if (!(thrown instanceof ApiFailure) || thrown.status !== 429) return
    until = Date.now() + (thrown.retryAfter ?? 5) * 1_000
    count()
    clearInterval(timer)
    timer = setInterval(count, 250)
  }

  function count() {
    seconds.value = Math.max(0, Math.ceil((until - Date.now()) / 1_000))
    if (seconds.value === 0) clearInterval(timer)
  }

  onScopeDispose(() => {
    clearInterval(timer)
  })

  return { seconds, isRunning: computed(() => seconds.value > 0), startAfter }
}
