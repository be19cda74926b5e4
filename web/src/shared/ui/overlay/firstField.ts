/** A dialog that asks for something begins in its first field; any other with its first button, as it does by itself. */
export function beginInFirstField(opening: Event) {
  const dialog = opening.target
  const field = dialog instanceof HTMLElement ? dialog.querySelector<HTMLElement>('input, select, textarea') : null
  if (!field) return
  opening.preventDefault()
  field.focus()
}
