/**
 * A hint of a server as it reads elsewhere: what can be done from there by a command with the server's name is said so.
 * @param called What the user calls the server.
 */
export function remoteHint(hint: string, called: string): string {
  const filled = hint.replace(/(?<=\bmypaas [a-z]+(?: [a-z]+)?) SERVER\b/g, ` ${called}`)
  // Who wrote both ways meant both.
  if (/from elsewhere|on the server/i.test(hint)) return filled
  return filled
    .replace(/\bmypaas server status\b/g, `mypaas status ${called}`)
    .replace(
      /\bmypaas server (stop|start|restart|rollback|releases|logs) (?!(?:router|daemon|all)\b)(?=[a-z0-9])/g,
      `mypaas $1 ${called} `,
    )
}
