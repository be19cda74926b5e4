// @vitest-environment happy-dom
import { expect, test } from 'vitest'

import type { Container } from '@/api/types'

import { ACTIONS, isFitting, keyOf } from './orders'

const inState = (state: string) => ({ id: 'c', environment_id: 'e', state }) as unknown as Container

test('only what makes sense in its state is offered for a container', () => {
  const offered = (state: string) => ACTIONS.filter((action) => isFitting(action, inState(state)))
  expect(offered('running')).toEqual(['stop', 'restart', 'pause', 'kill', 'remove'])
  expect(offered('paused')).toEqual(['stop', 'restart', 'unpause', 'kill', 'remove'])
  expect(offered('exited')).toEqual(['start', 'remove'])
  expect(offered('removing')).toEqual([])
})

test('the same id in two environments is two containers', () => {
  expect(keyOf(inState('running'))).not.toBe(keyOf({ ...inState('running'), environment_id: 'other' }))
})
