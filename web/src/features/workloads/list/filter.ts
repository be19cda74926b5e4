/** Which containers a list shows. It lives in the address, so that a reload and a shared link keep it. */
import { computed, ref, watch } from 'vue'
import { useRoute, useRouter } from 'vue-router'

import { debounced } from '@/shared/lib/debounce'
import { asked } from '@/shared/lib/lists'

import { STATES, type ContainerFilter, type ContainerState } from '../composables/containers'
import { orderOf, parameterOf, type Order } from './columns'

export function useListFilter() {
  const route = useRoute()
  const router = useRouter()
  const search = ref(asked(route.query.search))
  const state = ref<ContainerState | ''>(STATES.find((known) => known === route.query.state) ?? '')
  const label = ref(asked(route.query.label))
  const order = ref<Order>(orderOf(route.query.sort))
  const page = ref(1)
  const settledSearch = debounced(search)
  const settledLabel = debounced(label)

  const wanted = computed(() => ({
    search: settledSearch.value.trim(),
    state: state.value || null,
    label: settledLabel.value.trim(),
    sort: parameterOf(order.value),
  }))
  const filter = computed<ContainerFilter>(() => ({ ...wanted.value, page: page.value }))
  const isFiltered = computed(() => wanted.value.search !== '' || wanted.value.state !== null || wanted.value.label !== '')

  watch(wanted, ({ search, state, label, sort }) => {
    page.value = 1
    void router.replace({ query: { ...(search && { search }), ...(state && { state }), ...(label && { label }), ...(sort !== 'name' && { sort }) } })
  })

  function clear() {
    search.value = state.value = label.value = ''
  }

  return { search, state, label, order, page, filter, isFiltered, clear }
}
