/** Failures in the user's language. */
import { useI18n } from 'vue-i18n'

import { failureFrom } from '@/api/failure'

export interface Explained {
  text: string
  requestId: string | null
}

/** Explains what was thrown. A code without a translation is told in the hub's own words. */
export function useFailures() {
  const { t, te } = useI18n()

  function explain(thrown: unknown): Explained {
    const failure = failureFrom(thrown)
    const key = `failures.${failure.code}`
    const named = te(key) || te(key, 'en')
    const text = named
      ? t(key, { seconds: failure.retryAfter ?? 1, words: failure.message, rule: failure.rule ?? '' })
      : t('failures.other', { code: failure.code, words: failure.message })
    return { text, requestId: failure.requestId }
  }

  return { explain }
}
