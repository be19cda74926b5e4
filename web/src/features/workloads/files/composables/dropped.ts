/** Files that somebody chose or dropped, folders taken apart. */

export interface Chosen {
  /** Where it is in what was chosen: a name, or folders and a name. */
  path: string
  file: File
}

/** More at once are not taken: a folder may be a whole disk. */
export const CHOSEN_MAX = 2_000

/** Of a field for files or folders. */
export function chosenIn(list: FileList): Chosen[] {
  return [...list].slice(0, CHOSEN_MAX).map((file) => ({ path: file.webkitRelativePath || file.name, file }))
}

/** Of what was dropped. The entries must be taken before anything is awaited. */
export async function chosenOf(transfer: DataTransfer): Promise<Chosen[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null)
  const found: Chosen[] = []
  for (const entry of entries) await gather(entry, '', found)
  return found
}

async function gather(entry: FileSystemEntry, folder: string, found: Chosen[]): Promise<void> {
  if (found.length >= CHOSEN_MAX) return
  const path = folder + entry.name
  if (isFile(entry)) {
    found.push({ path, file: await new Promise<File>((done, fail) => { entry.file(done, fail) }) })
  } else if (isFolder(entry)) {
    const reader = entry.createReader()
    // It gives some at a time, and none when there are no more.
    for (;;) {
      const some = await new Promise<FileSystemEntry[]>((done, fail) => { reader.readEntries(done, fail) })
      if (some.length === 0) return
      for (const one of some) await gather(one, `${path}/`, found)
      if (found.length >= CHOSEN_MAX) return
    }
  }
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile
}

function isFolder(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory
}
