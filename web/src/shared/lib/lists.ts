/** Lists that the hub gives in pages, and what is done to one of their things once somebody was asked. */
import { keepPreviousData, useMutation, useQuery, type QueryKey } from '@tanstack/vue-query'
import { computed, ref, shallowRef, toValue, type MaybeRefOrGetter } from 'vue'

import { type Explained, useFailures } from './failures'
import { useRefreshInterval } from './liveUpdates'

/** What a filter is in the address. */
export function asked(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** Those whose text has every word that is looked for, whatever its case and accents. */
export function matchingText<T>(things: readonly T[], wanted: string, textOf: (thing: T) => string): T[] {
  const words = bare(wanted).split(/\s+/).filter(Boolean)
  return things.filter((thing) => {
    const text = bare(textOf(thing))
    return words.every((word) => text.includes(word))
  })
}

function bare(text: string): string {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase()
}

/** The part of a list that a page shows. */
export interface Part {
  limit: number
  offset: number
}

interface Paged<T> {
  /** Named by the list and by what it depends on. */
  queryKey: MaybeRefOrGetter<QueryKey>
  /** Things on one page. */
  size: number
  ask: (part: Part, signal: AbortSignal) => Promise<{ items: T[]; total: number }>
  enabled?: MaybeRefOrGetter<boolean>
}

/** One page of a list, and which one it is. */
export function usePaged<T>({ queryKey, size, ask, enabled = true }: Paged<T>) {
  const page = ref(1)
  const query = useQuery({
    queryKey: computed(() => [...toValue(queryKey), page.value]),
    queryFn: ({ signal }) => ask({ limit: size, offset: (page.value - 1) * size }, signal),
    enabled: computed(() => toValue(enabled)),
    placeholderData: keepPreviousData,
    refetchInterval: useRefreshInterval(),
  })
  return { ...query, page }
}

/** An action on one of many things, which asks first. `done` is for what happens once it succeeded. */
export function useConfirmed<T>(act: (subject: T) => Promise<unknown>, done: (subject: T) => void) {
  const { explain } = useFailures()
  /** What is asked about; none while nothing is. */
  const subject = shallowRef<T | null>(null)
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: (about: T) => act(about),
    onSuccess: (_answer, about) => {
      subject.value = null
      done(about)
    },
  })

  function ask(about: T) {
    reset()
    subject.value = about
  }

  function confirm() {
    if (subject.value !== null) mutate(subject.value)
  }

  function cancel() {
    subject.value = null
  }

  const failure = computed<Explained | null>(() => (error.value ? explain(error.value) : null))
  return { subject, busy: isPending, failure, ask, confirm, cancel }
}
