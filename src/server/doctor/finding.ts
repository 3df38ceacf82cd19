/** Something that is not as it should be, or soon will not be. */
export type Finding = Readonly<{
  /** What was looked at: `disk`, `router`, … */
  check: string
  /** `problem`: something does not work · `warning`: it works, but not for long, or not as safely as it could. */
  level: 'problem' | 'warning'
  message: string
  /** What a person types, or does, to mend it. */
  mend: string
  /** What `--fix` does about it; absent where that is not safe to do unasked. */
  fix?: FindingFix
}>

export type FindingFix = Readonly<
  | { kind: 'chmod'; path: string; mode: number }
  | { kind: 'router' }
  | { kind: 'reconcile'; service: string }
  | { kind: 'remove-container'; id: string; name: string }
  | { kind: 'remove-image'; image: string }
>
