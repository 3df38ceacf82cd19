import { fileURLToPath } from 'node:url'

/** How this command line is started, for a unit of systemd. Sources that run by a loader are no program for it. */
export function installedProgram(): { node: string; main: string } | undefined {
  if (!import.meta.url.endsWith('.js')) return undefined
  return { node: process.execPath, main: fileURLToPath(new URL('./main.js', import.meta.url)) }
}
