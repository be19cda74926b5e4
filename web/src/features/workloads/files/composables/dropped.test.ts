import { expect, test } from 'vitest'

import { CHOSEN_MAX, chosenOf } from './dropped'

/** What a browser makes of a dropped file or folder. */
function entry(name: string, inside?: unknown[]) {
  let left = inside ?? []
  return {
    name,
    isFile: inside === undefined,
    isDirectory: inside !== undefined,
    file: (done: (file: File) => void) => { done(new File(['x'], name)) },
    createReader: () => ({
      // Some at a time, as browsers do.
      readEntries: (done: (entries: unknown[]) => void) => {
        done(left.slice(0, 2))
        left = left.slice(2)
      },
    }),
  }
}

function dropped(...entries: unknown[]): DataTransfer {
  return { items: entries.map((one) => ({ webkitGetAsEntry: () => one })) } as unknown as DataTransfer
}

test('dropped folders are taken apart, all of them', async () => {
  const found = await chosenOf(dropped(entry('a.txt'), entry('site', [entry('b'), entry('css', [entry('c'), entry('d'), entry('e')]), entry('f')]), null))
  expect(found.map(({ path }) => path)).toEqual(['a.txt', 'site/b', 'site/css/c', 'site/css/d', 'site/css/e', 'site/f'])
})

test('no more are taken than can be shown', async () => {
  const many = Array.from({ length: CHOSEN_MAX + 10 }, (_, at) => entry(`${at}`))
  expect(await chosenOf(dropped(entry('disk', many)))).toHaveLength(CHOSEN_MAX)
})
