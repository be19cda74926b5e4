/** A field that cannot be so; its message is the key of the reason. */
export class FieldError extends Error {}
