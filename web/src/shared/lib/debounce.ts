import { onScopeDispose, ref, watch, type Ref } from 'vue'

/** Follows `source` once it has been quiet for a moment. */
export function debounced<T>(source: Ref<T>, quietMs = 250): Ref<T> {
  const settled = ref(source.value) as Ref<T>
  let timer: ReturnType<typeof setTimeout> | undefined
  watch(source, (value) => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      settled.value = value
    }, quietMs)
  })
  onScopeDispose(() => {
    clearTimeout(timer)
  })
  return settled
}
