/** Which of the things on a page are chosen, to do the same with all of them. */
import { computed, ref } from 'vue'


import type { ListedContainer } from '../composables/containers'
import { keyOf } from './orders'

/** What is no longer on the page is not chosen either: nothing is done with what nobody sees. */
export function useChosen(shown: () => ListedContainer[]) {
  const keys = ref(new Set<string>())
  const chosen = computed(() => shown().filter((container) => keys.value.has(keyOf(container))))
  const allChosen = computed(() => chosen.value.length > 0 && chosen.value.length === shown().length)

  function isChosen(container: ListedContainer): boolean {
    return keys.value.has(keyOf(container))
  }

  function setChosen(container: ListedContainer, value: boolean) {
    if (value) keys.value.add(keyOf(container))
    else keys.value.delete(keyOf(container))
  }

  function chooseAll(value: boolean) {
    keys.value = new Set(value ? shown().map(keyOf) : [])
  }

  return { chosen, isChosen, setChosen, allChosen, chooseAll }
}
