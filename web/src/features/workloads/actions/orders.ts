/** What can be done with containers, one or many, and how each of it ends. */
import { computed, ref, shallowRef, type ComputedRef, type Ref } from 'vue'
import { useI18n } from 'vue-i18n'

import { api, take } from '@/api/client'
import { failureFrom } from '@/api/failure'
import { keys } from '@/api/queries'
import type { Container, Permission } from '@/api/types'
import type { HostRule } from '@/features/fleet/composables/hostPolicy'
import { useAllowed } from '@/features/identity/composables/session'
import { useFailures } from '@/shared/lib/failures'
import { useInvalidate } from '@/shared/lib/liveUpdates'
import { complain, tell } from '@/shared/lib/toasts'

import type { ListedContainer } from '../composables/containers'

/** What needs no more than a container. */
export const ACTIONS = ['start', 'stop', 'restart', 'pause', 'unpause', 'kill', 'remove'] as const
export type ContainerAction = (typeof ACTIONS)[number]

const NEEDED: Record<ContainerAction, Permission> = {
  start: 'containers.operate',
  stop: 'containers.operate',
  restart: 'containers.operate',
  pause: 'containers.operate',
  unpause: 'containers.operate',
  kill: 'containers.operate',
  remove: 'containers.remove',
}

/** The rule by which a host refuses it. */
export function ruleOf(action: ContainerAction): HostRule {
  return action === 'remove' ? 'deploy' : 'operate'
}

/** What the user may do with containers. */
export function useAllowedActions(allowed: Ref<Permission[]> = useAllowed()): ComputedRef<ContainerAction[]> {
  return computed(() => ACTIONS.filter((action) => allowed.value.includes(NEEDED[action])))
}

/** How containers are removed. */
export interface Removal {
  volumes: boolean
  force: boolean
}

/** One container of several that something is done with. */
export interface Step {
  container: ListedContainer
  /** `late` is what nobody knows the end of yet. */
  state: 'waiting' | 'running' | 'done' | 'late' | 'failed'
  why: string
}

export interface Batch {
  action: ContainerAction
  steps: Step[]
}

/** So many of several are done at once. */
const AT_ONCE = 4
/** After these the engine may still do it. */
const LATE = ['engine_slow', 'deadline']
const PLAIN: Removal = { volumes: false, force: false }

const RUNNING = ['running', 'paused', 'restarting']

/** Whether this makes sense with a container as it is. */
export function isFitting(action: ContainerAction, { state }: Container): boolean {
  switch (action) {
    case 'start':
      return !RUNNING.includes(state) && state !== 'removing'
    case 'stop':
    case 'restart':
    case 'kill':
      return RUNNING.includes(state)
    case 'pause':
      return state === 'running'
    case 'unpause':
      return state === 'paused'
    case 'remove':
      return state !== 'removing'
  }
}

/** Containers of two environments may share an id. */
export function keyOf({ environment_id: environment, id }: Container): string {
  return `${environment}/${id}`
}

function order(action: ContainerAction, { environment_id: id, id: container }: Container, removal: Removal): Promise<unknown> {
  const path = { id, container }
  switch (action) {
    case 'start':
      return take(api.POST('/api/v1/environments/{id}/containers/{container}/start', { params: { path } }))
    case 'stop':
      return take(api.POST('/api/v1/environments/{id}/containers/{container}/stop', { params: { path } }))
    case 'restart':
      return take(api.POST('/api/v1/environments/{id}/containers/{container}/restart', { params: { path } }))
    case 'pause':
      return take(api.POST('/api/v1/environments/{id}/containers/{container}/pause', { params: { path } }))
    case 'unpause':
      return take(api.POST('/api/v1/environments/{id}/containers/{container}/unpause', { params: { path } }))
    case 'kill':
      return take(api.POST('/api/v1/environments/{id}/containers/{container}/kill', { params: { path } }))
    case 'remove':
      return take(api.DELETE('/api/v1/environments/{id}/containers/{container}', { params: { path, query: removal } }))
  }
}

/** Gives a container another name. */
export function rename({ environment_id: id, id: container }: Container, name: string): Promise<unknown> {
  return take(api.POST('/api/v1/environments/{id}/containers/{container}/rename', { params: { path: { id, container } }, body: { name } }))
}

export type Orders = ReturnType<typeof useOrders>

/** The orders of one page. `removed` is told of what is gone. */
export function useOrders(removed: (container: Container) => void = () => undefined) {
  const { t } = useI18n()
  const { explain } = useFailures()
  const invalidate = useInvalidate()

  /** What is under way, by container. */
  const pending = ref<Partial<Record<string, ContainerAction>>>({})
  /** What somebody is asked about first. */
  const asked = shallowRef<{ action: 'kill' | 'remove'; containers: ListedContainer[] } | null>(null)
  /** The container that is to get another name. */
  const renaming = shallowRef<Container | null>(null)
  /** What is done with several, until somebody has seen how it ended. */
  const batch = ref<Batch | null>(null)
  const isBusy = computed(() => batch.value?.steps.some(({ state }) => state === 'waiting' || state === 'running') ?? false)

  async function give(action: ContainerAction, container: Container, removal: Removal): Promise<void> {
    const key = keyOf(container)
    pending.value = { ...pending.value, [key]: action }
    try {
      await order(action, container, removal)
      if (action === 'remove') removed(container)
    } finally {
      pending.value = Object.fromEntries(Object.entries(pending.value).filter(([other]) => other !== key))
      invalidate(keys.containers(container.environment_id), keys.environment(container.environment_id), keys.allContainers)
    }
  }

  async function doOne(action: ContainerAction, container: Container, removal: Removal) {
    if (pending.value[keyOf(container)]) return
    try {
      await give(action, container, removal)
      if (action === 'remove') tell(t('containers.removed', { name: container.name }))
    } catch (thrown) {
      const { text, requestId } = explain(thrown)
      const { name } = container
      complain(isLate(thrown) ? t('containers.late', { name }) : t(`containers.failed.${action}`, { name, why: text }), requestId)
    }
  }

  async function doStep(action: ContainerAction, step: Step, removal: Removal) {
    step.state = 'running'
    try {
      await give(action, step.container, removal)
      step.state = 'done'
    } catch (thrown) {
      step.state = isLate(thrown) ? 'late' : 'failed'
      step.why = explain(thrown).text
    }
  }

  async function doAll(action: ContainerAction, containers: ListedContainer[], removal: Removal) {
    if (isBusy.value) return
    batch.value = { action, steps: containers.map((container) => ({ container, state: 'waiting', why: '' })) }
    const steps = batch.value.steps.values()
    const work = async () => {
      for (const step of steps) await doStep(action, step, removal)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
  }

  /** Does it, or asks first where it cannot be undone. */
  function choose(action: ContainerAction, containers: ListedContainer[]) {
    if (action === 'kill' || action === 'remove') asked.value = { action, containers }
    else run(action, containers)
  }

  function run(action: ContainerAction, containers: ListedContainer[], removal = PLAIN) {
    const [first] = containers
    if (first && containers.length === 1) void doOne(action, first, removal)
    else void doAll(action, containers, removal)
  }

  function close() {
    if (!isBusy.value) batch.value = null
  }

  return { pending, asked, renaming, batch, isBusy, choose, run, close }
}

function isLate(thrown: unknown): boolean {
  return LATE.includes(failureFrom(thrown).code)
}
