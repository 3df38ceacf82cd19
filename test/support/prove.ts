/** Whether the proofs run in their longer form: `scripts/prove` says so. */
export const long: boolean = process.env['PROVE'] === 'long'
