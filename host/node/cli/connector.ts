// Makes connections to the server: name lookup, TCP, the proxy, TLS. What fails here fails before any byte of a request.
import { lookup as lookUp } from "node:dns/promises";
import { request } from "node:http";
import { connect, isIP, type LookupFunction, type Socket } from "node:net";

import { fault, type Fault } from "../src/failure.js";
import { Refused } from "./duration.js";
import { bare, type Proxy } from "./proxy.js";
import { type Tls, TlsFailure } from "./tls.js";

/** How long a connection may take to be made: name lookup, TCP, proxy and TLS. */
const CONNECT_TIMEOUT = 10_000;
/** Silence after which TCP asks whether the other end is still there: what finds a peer that is gone without a word. */
const KEEP_ALIVE = 15_000;

/** `--resolve`: addresses to use in place of a name lookup. The host `*` is any. */
export interface Addresses {
  host: string;
  port: number;
  addresses: string[];
}

/** A connection that was not made, and why. No byte of a request was sent. */
export class NotConnected extends Error {
  readonly fault: Fault;

  constructor(failure: Fault["failure"], detail: string) {
    super(detail);
    this.fault = { failure, detail };
  }
}

/** The way to the server, and what is known of it. */
export class Connector {
  readonly url: URL;
  readonly proxy: Proxy | undefined;
  readonly tls: Tls;
  /** Whether the server ever answered: then certificates and URL are right. */
  answered = false;
  /** The origin's host and port as they were written last. */
  #authority: string | undefined;
  readonly #addresses = new Map<string, string[]>();

  /** Throws `Refused` for addresses of a host and port to which no connection will be made. */
  constructor(url: URL, proxy: Proxy | undefined, tls: Tls, entries: Addresses[]) {
    this.url = url;
    this.proxy = proxy;
    this.tls = tls;
    const server = { host: bare(url.hostname), port: portOf(url) };
    const places = proxy ? [server, proxy] : [server];
    for (const { host, port, addresses } of entries) {
      const meant = places.filter((place) => place.port === port && (host === "*" || host.toLowerCase() === place.host));
      if (meant.length === 0) {
        throw new Refused(
          `an option is not usable: an address is given for ${host}:${port}, but the server's URL leads to ${server.host}:${server.port}`,
        );
      }
      for (const place of meant) this.#addresses.set(place.host, addresses);
    }
  }

  /** Whether its connections are for this origin. */
  leadsTo(https: boolean, authority: string): boolean {
    if (authority === this.#authority) return https === (this.url.protocol === "https:");
    const origin = `${https ? "https" : "http"}://${authority}`;
    if (!URL.canParse(origin) || new URL(origin).origin !== this.url.origin) return false;
    this.#authority = authority;
    return true;
  }

  /** A connection for requests. Rejects with `NotConnected`. */
  async connect(): Promise<Socket> {
    const open: Socket[] = [];
    let timer;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        for (const socket of open) socket.destroy();
        const { proxy } = this;
        reject(new NotConnected("connect", proxy ? `connecting through the proxy ${proxy.place} took too long` : "connecting timed out"));
      }, CONNECT_TIMEOUT);
    });
    try {
      return await Promise.race([this.#connect(open), late]);
    } catch (error) {
      for (const socket of open) socket.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** What may be wrong on this side, as long as the server has never answered. */
  suspicion(): string {
    if (this.answered) return "";
    const https = this.url.protocol === "https:";
    if (https && this.tls.hasIdentity) return "; perhaps the server asks for a client certificate and may not accept this one";
    if (this.proxy) return "";
    return `; perhaps its URL begins with http${https ? "" : "s"}://`;
  }

  async #connect(open: Socket[]): Promise<Socket> {
    const host = bare(this.url.hostname);
    const port = portOf(this.url);
    const socket = this.proxy
      ? await this.#throughProxy(this.proxy, host, port, open)
      : await this.#tcp(host, port, open, (error) => direct(error));
    if (this.url.protocol !== "https:") return socket;
    try {
      return await this.tls.secure(socket, host);
    } catch (error) {
      if (error instanceof TlsFailure) throw new NotConnected("tls", error.message);
      // As a server that restarts does: not a failure of TLS, which waiting would not cure.
      throw new NotConnected("connect", `the connection was closed during the TLS handshake${this.suspicion()}`);
    }
  }

  async #throughProxy(proxy: Proxy, host: string, port: number, open: Socket[]): Promise<Socket> {
    let socket = await this.#tcp(proxy.host, proxy.port, open, (error) => ofProxy(proxy, error));
    if (proxy.scheme === "https") {
      try {
        socket = await this.tls.secure(socket, proxy.host);
      } catch (error) {
        if (error instanceof TlsFailure) throw new NotConnected("tls", `the proxy ${proxy.place}: ${error.message}`);
        throw new NotConnected("connect", `the proxy ${proxy.place} closed the connection`);
      }
    }
    if (proxy.scheme.startsWith("socks")) return this.#socks(proxy, socket, host, port);
    return this.url.protocol === "https:" ? tunnel(proxy, socket, host, port) : socket;
  }

  async #socks(proxy: Proxy, socket: Socket, host: string, port: number): Promise<Socket> {
    let destination = this.#addresses.get(host)?.[0] ?? host;
    if (proxy.scheme === "socks5" && isIP(destination) === 0) {
      try {
        destination = (await lookUp(destination)).address;
      } catch (error) {
        throw direct(error);
      }
    }
    try {
      const { throughSocks } = await import("./socks.js");
      return await throughSocks(socket, { host: destination, port }, proxy.user);
    } catch (error) {
      const { message } = error as Error;
      if (/authentication/i.test(message)) throw unauthorized(proxy);
      throw new NotConnected("connect", `the proxy ${proxy.place} made no connection to the server`);
    }
  }

  #tcp(host: string, port: number, open: Socket[], explain: (error: unknown) => NotConnected): Promise<Socket> {
    const addresses = this.#addresses.get(host);
    const socket = connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE,
      autoSelectFamily: true,
      ...(addresses && { lookup: fixed(addresses) }),
    });
    open.push(socket);
    return new Promise((resolve, reject) => {
      const failed = (error: unknown) => reject(explain(error));
      socket.once("error", failed).once("connect", () => {
        socket.off("error", failed);
        resolve(socket);
      });
    });
  }
}

/** The port of a URL, also where it is the scheme's own. */
export function portOf(url: URL): number {
  return Number(url.port) || (url.protocol === "https:" ? 443 : 80);
}

/** RFC 9110 § 9.3.6. */
function tunnel(proxy: Proxy, socket: Socket, host: string, port: number): Promise<Socket> {
  const authority = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const headers = ["host", authority, "connection", "keep-alive", ...proxyAuthorization(proxy)];
  return new Promise((resolve, reject) => {
    const asked = request({ method: "CONNECT", path: authority, headers, setHost: false, createConnection: () => socket });
    asked.on("connect", ({ statusCode = 0 }, tunnelled, head) => {
      if (statusCode === 407) return reject(unauthorized(proxy));
      if (statusCode < 200 || statusCode > 299)
        return reject(new NotConnected("connect", `the proxy ${proxy.place} made no connection to the server`));
      if (head.length > 0) tunnelled.unshift(head);
      resolve(tunnelled as Socket);
    });
    asked.on("error", () => reject(new NotConnected("connect", `the proxy ${proxy.place} closed the connection`)));
    asked.end();
  });
}

/** The header by which a proxy knows its user, as a flat list; empty if it has none. */
export function proxyAuthorization({ user }: Proxy): string[] {
  return user ? ["proxy-authorization", `Basic ${Buffer.from(`${user.name}:${user.password}`).toString("base64")}`] : [];
}

/** The proxy wants to know who its user is. Trying again soon will not help. */
export function unauthorized({ place, user }: Proxy): NotConnected {
  const text = user ? "does not accept the user name and password in its URL (407)" : "demands a user name and password (407)";
  return new NotConnected("tls", `the proxy ${place} ${text}${user ? "" : `; write http://USER:PASSWORD@${place}`}`);
}

function direct(error: unknown): NotConnected {
  const { failure, detail } = fault(error);
  return new NotConnected(failure === "dns" ? "dns" : "connect", detail);
}

function ofProxy({ place }: Proxy, error: unknown): NotConnected {
  const { failure, detail } = fault(error);
  if (failure === "dns") return new NotConnected("connect", `the name of the proxy ${place} was not found`);
  const refused = detail === "connection refused";
  return new NotConnected(
    "connect",
    refused ? `the proxy ${place} refused the connection` : `no connection through the proxy ${place}: ${detail}`,
  );
}

/** A lookup that knows its answer. */
function fixed(addresses: string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIP(address) }));
  return ((_host: string, options: { all?: boolean }, callback: (...results: unknown[]) => void) => {
    if (options.all) callback(null, all);
    else callback(null, all[0]!.address, all[0]!.family);
  }) as LookupFunction;
}
