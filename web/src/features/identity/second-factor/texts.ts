/** A secret in groups of four, for those who type it. */
export function grouped(secret: string): string {
  return secret.match(/.{1,4}/g)?.join(' ') ?? ''
}

/** What is in a file of recovery codes. */
export function recoveryFile(heading: string, codes: string[]): string {
  return `${heading}\n\n${codes.join('\n')}\n`
}

/** Gives the browser a text to keep as a file. */
export function saveText(name: string, text: string) {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/plain' }))
  const link = document.createElement('a')
  link.href = address
  link.download = name
  link.click()
  URL.revokeObjectURL(address)
}
