import { describe, expect, it } from 'vitest'

import { size } from '@/shared/lib/formats/size'

import { ofImage, ofNetwork, sortOf, sortsOf, turned } from './rows'

const PLACE = { environment_id: 'e1', environment_name: 'local', containers: 2, created_at: null, as_of: null, labels: {} }

describe('what a row shows', () => {
  it('names an image by where it came from, where it has no tag', () => {
    const image = { ...PLACE, id: 'sha256:0123456789abcdef', tags: [], digests: ['nginx@sha256:ff'], size: 7 }
    expect(ofImage(image)).toMatchObject({ names: ['nginx'], more: ['0123456789ab'], size: 7, containers: 2 })
    expect(ofImage({ ...image, digests: [] }).names).toEqual([])
  })

  it('keeps networks of one name on two hosts apart', () => {
    const network = { ...PLACE, id: 'n1', name: 'bridge', driver: 'bridge', scope: 'local', internal: false, subnets: ['172.17.0.0/16'] }
    expect(ofNetwork(network).key).not.toBe(ofNetwork({ ...network, environment_id: 'e2' }).key)
    expect(ofNetwork(network).more).toEqual(['bridge', '172.17.0.0/16'])
  })
})

describe('the order', () => {
  it('begins with the largest where something is counted, and turns round', () => {
    expect(turned('name', 'size')).toBe('-size')
    expect(turned('-size', 'size')).toBe('size')
    expect(turned('size', 'name')).toBe('name')
    expect(turned('name', 'name')).toBe('-name')
  })

  it('is by name where the address asks for none that is known', () => {
    expect([sortOf('-size'), sortOf('colour'), sortOf(null), sortOf('-')]).toEqual(['-size', 'name', 'name', 'name'])
    expect(sortsOf('volumes')).not.toContain('size')
  })
})

describe('a size', () => {
  it('is in the largest unit of which there is one', () => {
    expect([0, 999, 1_000, 1_234_567, 187_400_000, 3.2e15].map((bytes) => size(bytes, 'en'))).toEqual(['0 B', '999 B', '1 kB', '1.2 MB', '187 MB', '3.2 PB'])
    expect([999, 1_500_000].map((bytes) => size(bytes, 'fr').replace(/\s/, ' '))).toEqual(['999 o', '1,5 Mo'])
  })
})
