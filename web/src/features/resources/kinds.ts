/** What engines have beside containers. */
export const KINDS = ['images', 'volumes', 'networks'] as const
export type Kind = (typeof KINDS)[number]

/** Whether a container uses one, as an address asks for it. */
export const USES = ['true', 'false'] as const
