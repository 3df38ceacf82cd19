import { join } from 'node:path'

/** Downloads that the next run may use again. Git ignores the folder. */
export const cache: string = join(import.meta.dirname, '..', '.cache')
