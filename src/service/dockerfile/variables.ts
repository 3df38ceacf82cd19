/**
 * The `ARG`s above the first `FROM`, which are all that the name of an image may depend on.
 * @see https://docs.docker.com/reference/dockerfile/#understand-how-arg-and-from-interact
 */
export class Variables {
  /** `undefined` for one whose value can't be told. */
  readonly #values = new Map<string, string | undefined>()
  /** Whether each `ARG` so far could be told from the others. */
  #isKnown = true

  #length = 0

  /** Takes note of what stands behind `ARG`. */
  declare(text: string): void {
    const isPlain = /^(?:[A-Za-z_]\w*(?:=(?:[!#-&(-[\]-_a-~]|"[^"\\`]*"|'[^'\\`]*')*)?(?:[ \t]+|$))+$/.test(text)
    if (!isPlain) this.#isKnown = false
    for (const [, name = '', value] of text.matchAll(/([A-Za-z_]\w*)(?:=((?:"[^"]*"|'[^']*'|[^ \t"'])*))?/g)) {
      // Whether the first value stays, where the second is none, differs between builders.
      if (value !== undefined) this.#values.set(name, this.#held(this.#value(value)))
      else if (this.#values.has(name)) this.#values.set(name, undefined)
    }
  }

  /** The value, as long as all of them together are not more than files have that are written by people. */
  #held(value: string | undefined): string | undefined {
    this.#length += value?.length ?? 0
    return this.#length > maxTotal ? undefined : value
  }

  #value(written: string): string | undefined {
    if (written.length > maxLength) return undefined
    const single = /^'([^'$]*)'$/.exec(written)?.[1]
    return single ?? this.expand(/^"([^"]*)"$/.exec(written)?.[1] ?? written)
  }

  /** Whether a variable of a text has no value: the builder, which is given none here, then takes the empty one. */
  lacks(text: string): boolean {
    return [...text.matchAll(/\$(?:\{(\w+)\}|(\w+))/g)].some(
      ([, braced, bare]) => this.#values.get(braced ?? bare ?? '') === undefined,
    )
  }

  /**
   * The text with `$X`, `${X}`, `${X:-y}`, `${X:+y}` replaced; `undefined` when it can't be told. Without the colon,
   * builders differ.
   */
  expand(text: string): string | undefined {
    if (text.length > maxLength) return undefined
    if (!/^(?:[\w./:@-]|\$[A-Za-z_]\w*|\$\{[A-Za-z_]\w*(?::[-+][\w./:@-]*)?\})*$/.test(text)) return undefined
    let isKnown = this.#isKnown || !text.includes('$')
    let length = text.length
    const expanded = text.replace(
      /\$(?:\{(\w+)(?::([-+])([^}]*))?\}|(\w+))/g,
      (_, braced?: string, how?: string, other?: string, bare?: string) => {
        const name = braced ?? bare ?? ''
        const value = this.#values.get(name) ?? ''
        if (builderArgs.test(name) || (this.#values.has(name) && this.#values.get(name) === undefined)) isKnown = false
        const put = how === '+' ? (value === '' ? '' : (other ?? '')) : value === '' ? (other ?? '') : value
        length += put.length
        return length > maxLength ? '' : put
      },
    )
    return isKnown && length <= maxLength ? expanded : undefined
  }
}

/** What a value may have at most: those of values, each four times the one before, would fill the memory. */
const maxLength = 4096
const maxTotal = 16 * maxLength

/** The builder gives values to these itself. */
const builderArgs =
  /^(?:(?:BUILD|TARGET)(?:PLATFORM|OS|OSVERSION|ARCH|VARIANT|STAGE)|BUILDKIT_.*|SOURCE_DATE_EPOCH|(?:HTTP|HTTPS|FTP|NO|ALL)_PROXY)$/i
