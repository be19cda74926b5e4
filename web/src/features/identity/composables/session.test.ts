// @vitest-environment happy-dom
import { QueryClient, VueQueryPlugin } from '@tanstack/vue-query'
import { expect, test } from 'vitest'
import { createApp, defineComponent, h, nextTick, ref, type ComputedRef } from 'vue'

import { keys } from '@/api/queries'
import type { Me, Permission } from '@/api/types'

import { permissionsIn, useMay, useMayEverywhere, usePlace } from './session'

const me: Me = {
  kind: 'user',
  id: 'u',
  name: 'ada',
  role: 'restricted',
  permissions: ['jobs.view'],
  permissions_somewhere: ['jobs.view', 'containers.view', 'containers.exec'],
  credential: 'session:1',
  second_factor_due: false,
}

/** What a page and a part of it, or one that is of no environment, may do. */
function mounted(environment: { permissions?: Permission[] } | undefined, isPlace: boolean) {
  const queries = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity } } })
  queries.setQueryData(keys.me, me)
  const place = ref(environment)
  const may: Record<string, ComputedRef<boolean>> = {}
  const part = defineComponent(() => {
    may.view = useMay('containers.view')
    may.exec = useMay('containers.exec')
    may.jobs = useMay('jobs.view')
    may.everywhere = useMayEverywhere('containers.view')
    return () => null
  })
  const page = defineComponent(() => {
    if (isPlace) usePlace(place)
    return () => h(part)
  })
  const app = createApp(page).use(VueQueryPlugin, { queryClient: queries })
  app.mount(document.createElement('div'))
  const allowed = () => Object.keys(may).filter((name) => may[name]?.value)
  return { allowed, place }
}

test('a page of one environment goes by what may be done there, any other by what may be done somewhere', () => {
  expect(mounted(undefined, false).allowed()).toEqual(['view', 'exec', 'jobs'])
  expect(mounted({ permissions: ['containers.view'] }, true).allowed()).toEqual(['view', 'jobs'])
})

test('until an environment is known, only what may be done everywhere is shown', async () => {
  const { allowed, place } = mounted(undefined, true)
  expect(allowed()).toEqual(['jobs'])
  place.value = { permissions: ['containers.exec'] }
  await nextTick()
  expect(allowed()).toEqual(['exec', 'jobs'])
})

test('what may be done everywhere may be done in each environment, and each thing is named once', () => {
  expect(permissionsIn(me, undefined)).toEqual(['jobs.view'])
  expect(permissionsIn(me, { permissions: null })).toEqual(['jobs.view'])
  expect(permissionsIn(me, { permissions: ['containers.view', 'jobs.view'] })).toEqual(['jobs.view', 'containers.view'])
})
