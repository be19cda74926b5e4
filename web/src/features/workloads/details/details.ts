/** What only the engine knows of one container, asked while somebody looks. */
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed, ref, watch } from 'vue'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import type { Container } from '@/api/types'

/** What each tab of a container is given. */
export interface TabProps {
  environment: string
  container: Container
  isReachable: boolean
}

/** What is read of Docker's own words; engines differ in what they say. */
export interface Inspected {
  Path?: string
  Args?: string[]
  State?: { Pid?: number; OOMKilled?: boolean; Error?: string; Health?: { Log?: Probe[] | null } | null }
  Config?: { Hostname?: string; User?: string; WorkingDir?: string; Env?: string[] | null; Labels?: Record<string, string> | null }
  HostConfig?: { NetworkMode?: string; Privileged?: boolean; RestartPolicy?: { Name?: string; MaximumRetryCount?: number } }
  Mounts?: MountPoint[] | null
  NetworkSettings?: { Networks?: Record<string, Endpoint | null> | null }
}

/** One look at a container's health. */
export interface Probe {
  Start?: string
  ExitCode?: number
  Output?: string
}

export interface MountPoint {
  Type?: string
  Name?: string
  Source?: string
  Destination?: string
  RW?: boolean
}

export interface Endpoint {
  IPAddress?: string
  GlobalIPv6Address?: string
  Gateway?: string
  MacAddress?: string
  Aliases?: string[] | null
}

/** Asks again when the container is another than before, not each time that anything happens on its host. */
function keyOf(what: string, { environment_id: environment, id, name, state, health, started_at: started }: Container) {
  return [...keys.containerDetails(environment, id), what, name, state, health, started]
}

function pathOf({ environment_id: id, id: container }: Container) {
  return { id, container }
}

/** All that the engine tells. `isRevealed` asks for the secrets too, which is recorded. */
export function useInspection(props: TabProps) {
  const isRevealed = ref(false)
  const key = computed(() => keyOf('inspect', props.container))
  // Secrets are asked for by a person, each time anew, and not kept.
  watch(
    () => JSON.stringify(key.value),
    () => {
      isRevealed.value = false
    },
  )
  const query = useQuery({
    queryKey: computed(() => [...key.value, isRevealed.value]),
    queryFn: async ({ signal }) => {
      const query = isRevealed.value ? { reveal: true } : {}
      const answer = await take(api.GET('/api/v1/environments/{id}/containers/{container}/inspect', { params: { path: pathOf(props.container), query }, signal }))
      return { masked: answer.masked, container: answer.container as Inspected }
    },
    enabled: () => props.isReachable,
    refetchOnWindowFocus: () => !isRevealed.value,
    refetchOnReconnect: () => !isRevealed.value,
    gcTime: 0,
    placeholderData: keepPreviousData,
  })
  return { ...query, isRevealed }
}

/** What runs in the container now. */
export function useProcesses(props: TabProps) {
  return useQuery({
    queryKey: computed(() => keyOf('processes', props.container)),
    queryFn: ({ signal }) => take(api.GET('/api/v1/environments/{id}/containers/{container}/processes', { params: { path: pathOf(props.container) }, signal })),
    enabled: () => props.isReachable && props.container.state === 'running',
  })
}

/** What was changed in the container's files. */
export function useFileChanges(props: TabProps) {
  return useQuery({
    queryKey: computed(() => keyOf('changes', props.container)),
    queryFn: ({ signal }) => take(api.GET('/api/v1/environments/{id}/containers/{container}/changes', { params: { path: pathOf(props.container) }, signal })),
    enabled: () => props.isReachable,
  })
}

/** A variable as it is set; one without an equals sign has no value. */
export function variableOf(text: string): { name: string; value: string } {
  const at = text.indexOf('=')
  return at < 0 ? { name: text, value: '' } : { name: text.slice(0, at), value: text.slice(at + 1) }
}

/** One value of a document and where it stands. */
export interface Leaf {
  path: string
  value: string
}

/** All values of a document, each with its path, such as `Config.Env[0]`. */
export function leavesOf(document: unknown, path = ''): Leaf[] {
  if (Array.isArray(document) && document.length > 0) return document.flatMap((item, index) => leavesOf(item, `${path}[${index}]`))
  if (typeof document === 'object' && document !== null && !Array.isArray(document)) {
    const fields = Object.entries(document)
    if (fields.length > 0) return fields.flatMap(([name, value]) => leavesOf(value, path ? `${path}.${name}` : name))
  }
  return [{ path, value: typeof document === 'string' ? document : JSON.stringify(document) }]
}
