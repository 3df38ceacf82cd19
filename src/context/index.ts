export type { ContextEntry } from './entries.ts'
export { type IgnoreRules, parseIgnore } from './ignore.ts'
export { type FileContents, packEntries } from './pack-entries.ts'
export { type Context, type ReadContextOptions, readContext, type TarOptions } from './read.ts'
