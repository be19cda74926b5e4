/** Which recordings a list shows. It lives in the address, so that a reload and a shared link keep it. */
import { computed, ref, watch } from 'vue'
import { useRoute, useRouter, type LocationQuery } from 'vue-router'

import { debounced } from '@/shared/lib/debounce'
import { asked } from '@/shared/lib/lists'

export interface RecordingFilter {
  /** The id of an environment; an empty text is all of them. */
  environment: string
  user: string
  container: string
}

export function useRecordingFilter() {
  const router = useRouter()
  const first = filterOf(useRoute().query)
  const environment = ref(first.environment)
  const user = ref(first.user)
  const container = ref(first.container)
  const settledUser = debounced(user)
  const settledContainer = debounced(container)

  const wanted = computed(() => wantedOf({ environment: environment.value, user: settledUser.value, container: settledContainer.value }))
  const isFiltered = computed(() => Object.keys(wanted.value).length > 0)

  watch(wanted, (query) => {
    void router.replace({ query })
  })

  return { environment, user, container, wanted, isFiltered }
}

export function filterOf({ environment, user, container }: LocationQuery): RecordingFilter {
  return { environment: asked(environment), user: asked(user), container: asked(container) }
}

/** What the hub is asked for, and what stands in the address. */
export function wantedOf(filter: RecordingFilter) {
  const [user, container] = [filter.user.trim(), filter.container.trim()]
  return { ...(filter.environment && { environment: filter.environment }), ...(user && { user }), ...(container && { container }) }
}
