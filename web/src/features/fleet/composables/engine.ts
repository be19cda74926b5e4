/** What an environment's engine is doing, in one word of the locale files, and how bad that is. */
import type { Environment, EnvironmentState } from '@/api/types'

export const STATE_TONES: Record<EnvironmentState, 'good' | 'warn' | 'bad' | 'plain'> = {
  online: 'good',
  offline: 'bad',
  pending: 'warn',
  quarantined: 'warn',
  revoked: 'plain',
}

const TROUBLES = ['absent', 'unresponsive'] as const
export type EngineTrouble = (typeof TROUBLES)[number]

/** What is wrong with the engine of an environment that is online, if anything is. */
export function engineTrouble(environment: Pick<Environment, 'state' | 'engine'>): EngineTrouble | null {
  if (environment.state !== 'online') return null
  return TROUBLES.find((trouble) => trouble === environment.engine) ?? null
}
