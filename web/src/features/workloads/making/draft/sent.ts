/** What the hub takes where its schema, which is generated, asks for more. */
import type { components } from '@/api/schema'

type Schemas = components['schemas']

/**
 * A part of a specification as it is kept and sent. The schema requires every field that has a default, which is so
 * for answers; in a request such a field may be missing. Items of lists are whole, and an object of which the schema
 * names no field may have any.
 */
export type Sent<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? [T[keyof T]] extends [never]
      ? Record<string, unknown>
      : string extends keyof T
        ? T
        : { [K in keyof T]?: Sent<T[K]> }
    : T

/**
 * The body of a request, by its name in the schema, for the typed client, which asks for every field: the same object,
 * with nothing filled in.
 */
export function bodyOf<Name extends keyof Schemas>(sent: Sent<Schemas[Name]>): Schemas[Name] {
  return sent as Schemas[Name]
}
