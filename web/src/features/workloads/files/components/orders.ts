/** What is asked about before it is done with a file. */
export type FileOrder = 'make' | 'rename' | 'permit' | 'remove'
