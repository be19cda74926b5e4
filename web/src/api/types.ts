/** The hub's things by their short names. */
import type { components } from './schema'

type Schemas = components['schemas']

export type Agent = Schemas['Agent']
export type ApiToken = Schemas['ApiToken']
export type Container = Schemas['Container']
export type EnrollmentToken = Schemas['EnrollmentTokenView']
export type Environment = Schemas['Environment']
export type EnvironmentKind = Schemas['EnvironmentKind']
export type EnvironmentState = Schemas['EnvironmentState']
export type Image = Schemas['Image']
export type FileEntry = Schemas['FileEntry']
export type IssuedToken = Schemas['IssuedToken']
export type Me = Schemas['MeResponse']
export type NewEnrollmentToken = Schemas['NewEnrollmentToken']
export type NewTerminal = Schemas['NewTerminal']
export type Network = Schemas['Network']
export type Role = Schemas['Role']
export type Session = Schemas['Session']
export type Terminal = Schemas['Terminal']
export type TextFile = Schemas['TextFile']
export type User = Schemas['User']
export type Volume = Schemas['Volume']

