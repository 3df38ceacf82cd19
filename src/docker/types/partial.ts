/** All fields may be left out; `undefined` counts as left out. */
export type Some<T> = { [K in keyof T]?: T[K] | undefined }
