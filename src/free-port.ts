import net from 'node:net'

/** Whether nobody on this machine listens on a TCP port. @param address Empty for all addresses. */
export function isFree(port: number, address: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = net.createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false)
      // Not ours to open, but the engine may: it publishes as root.
      else if (error.code === 'EACCES') resolve(true)
      else reject(error)
    })
    server.listen(port, address === '' ? '0.0.0.0' : address, () => server.close(() => resolve(true)))
  })
}
