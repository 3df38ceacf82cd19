/**
 * Whether a version of Docker's own Dockerfile language, as in `# syntax=docker/dockerfile:VERSION`, keeps build caches
 * apart: from 1.2 on. The name without one is the newest.
 */
export function isKnownFrontend(version: string): boolean {
  return /^(latest|labs|1(-labs)?|1\.([2-9]|\d\d+)(\.\d+)?(-labs)?)$/.test(version)
}
