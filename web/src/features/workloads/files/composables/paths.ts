/** Paths and permissions in a container. */

/** The path of something in a folder. */
export function join(folder: string, name: string): string {
  return folder === '/' ? `/${name}` : `${folder}/${name}`
}

/** The folder that something is in; the root is in itself. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')))
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** The folders on the way to a path, each with its own. */
export function crumbsOf(path: string): { name: string; path: string }[] {
  const names = path.split('/').filter((name) => name !== '')
  return [{ name: '/', path: '/' }, ...names.map((name, at) => ({ name, path: `/${names.slice(0, at + 1).join('/')}` }))]
}

/** Whether something in a folder can be called so. */
export function isName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0')
}

/** Permissions as they are written: three or four octal digits. */
export function isMode(mode: string): boolean {
  return /^[0-7]{3,4}$/.test(mode)
}
