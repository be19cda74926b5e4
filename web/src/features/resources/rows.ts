/** Rows of images, volumes and networks, and their order. */
import type { Image, Network, Volume } from '@/api/types'

import type { Kind } from './kinds'

/** What a table shows, and by what the hub orders it. */
export const SORTS = ['name', 'created_at', 'size', 'containers'] as const
export type Sorted = (typeof SORTS)[number]
export type Sort = Sorted | `-${Sorted}`

/** One row, whatever it is of. */
export interface Row {
  /** Unlike any other in a list. */
  key: string
  environment: { id: string; name: string }
  /** What it is called; an image without a name has none. */
  names: string[]
  id: string | null
  /** In a few words. */
  more: string[]
  /** In bytes, where it is known. */
  size: number | null
  createdAt: string | null
  containers: number
  asOf: string | null
}

/** Which sorts make sense for what. */
export function sortsOf(kind: Kind): Sorted[] {
  return SORTS.filter((sort) => sort !== 'size' || kind === 'images')
}

export function sortOf(text: unknown): Sort {
  const asked = typeof text === 'string' ? text : ''
  const by = SORTS.find((known) => known === asked.replace(/^-/, ''))
  if (!by) return 'name'
  return asked.startsWith('-') ? `-${by}` : by
}

/** Turns the order round, or begins with the other column: with its largest, where it counts something. */
export function turned(sort: Sort, by: Sorted): Sort {
  if (sort.replace(/^-/, '') === by) return sort.startsWith('-') ? by : `-${by}`
  return by === 'name' ? by : `-${by}`
}

type Placed = Pick<Image, 'environment_id' | 'environment_name' | 'containers' | 'created_at' | 'as_of'>

function placed(item: Placed, id: string): Omit<Row, 'names' | 'id' | 'more' | 'size'> {
  const { environment_id, environment_name, containers, created_at, as_of } = item
  return { key: `${environment_id}/${id}`, environment: { id: environment_id, name: environment_name }, containers, createdAt: created_at ?? null, asOf: as_of ?? null }
}

/** Digests of an id that tell it from others at a glance. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12)
}

export function ofImage(image: Image): Row {
  const names = image.tags.length > 0 ? image.tags : image.digests.map((digest) => digest.split('@')[0] ?? digest)
  return { ...placed(image, image.id), names, id: image.id, more: [shortId(image.id)], size: image.size }
}

export function ofVolume(volume: Volume): Row {
  return { ...placed(volume, volume.name), names: [volume.name], id: null, more: [volume.driver, volume.path], size: null }
}

export function ofNetwork(network: Network): Row {
  return { ...placed(network, network.id), names: [network.name], id: network.id, more: [network.driver, ...network.subnets], size: null }
}
