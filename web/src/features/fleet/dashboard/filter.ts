/** Which environments the dashboard shows. It lives in the address, so that a reload and a shared link keep it. */
import { computed, ref, watch } from 'vue'
import { useRoute, useRouter } from 'vue-router'

import type { EnvironmentKind } from '@/api/types'
import { debounced } from '@/shared/lib/debounce'
import { asked } from '@/shared/lib/lists'

import { KINDS, SORTS, STATES, wantedOf, type EnvironmentFilter, type EnvironmentSort, type WantedState } from '../composables/environments'

export function useDashboardFilter() {
  const route = useRoute()
  const router = useRouter()
  const search = ref(asked(route.query.search))
  const state = ref<WantedState | ''>(STATES.find((known) => known === route.query.state) ?? '')
  const kind = ref<EnvironmentKind | ''>(KINDS.find((known) => known === route.query.kind) ?? '')
  const group = ref(asked(route.query.group))
  const label = ref(asked(route.query.label))
  const sort = ref<EnvironmentSort>(SORTS.find((known) => known === route.query.sort) ?? 'group')
  const settledSearch = debounced(search)
  const settledLabel = debounced(label)

  const filter = computed<EnvironmentFilter>(() => ({
    search: settledSearch.value.trim(),
    state: state.value || null,
    kind: kind.value || null,
    group: group.value,
    label: settledLabel.value.trim(),
    sort: sort.value,
  }))
  const isFiltered = computed(() => Object.keys(wantedOf(filter.value)).length > 0)

  watch(filter, (wanted) => {
    void router.replace({ query: { ...wantedOf(wanted), ...(wanted.sort !== 'group' && { sort: wanted.sort }) } })
  })

  function clear() {
    search.value = state.value = kind.value = group.value = label.value = ''
  }

  return { search, state, kind, group, label, sort, filter, isFiltered, clear }
}
