// SOCKS5, in a file of its own: few need it.
import type { Socket } from "node:net";

import { SocksClient } from "socks";

/** Asks the proxy at the other end of a connection for one to a host and port. */
export async function throughSocks(
  socket: Socket,
  destination: { host: string; port: number },
  user?: { name: string; password: string },
): Promise<Socket> {
  const proxy = { host: "proxy.invalid", port: 1, type: 5 as const, ...(user && { userId: user.name, password: user.password }) };
  const made = await SocksClient.createConnection({ proxy, command: "connect", destination, existing_socket: socket });
  return made.socket;
}
