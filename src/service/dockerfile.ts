export { type BaseImage, baseImages } from './dockerfile/images.ts'
export { type LimitedReading, readLimited, triggerProblem } from './dockerfile/limited.ts'
export { type Line, scanDockerfile } from './dockerfile/scan.ts'
export { labelKeys } from './dockerfile/words.ts'
