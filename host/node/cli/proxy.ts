// Which proxy leads to the server: the one of the command line, else the environment's.
import { BlockList, isIP } from "node:net";

import { Refused } from "./duration.js";
import type { Lookup } from "./expand.js";

/** The proxy to a server. */
export interface Proxy {
  scheme: "http" | "https" | "socks5" | "socks5h";
  host: string;
  port: number;
  /** Its host and port, for people. */
  place: string;
  /** What it wants to know of its user. */
  user?: { name: string; password: string };
}

const PORTS: Record<Proxy["scheme"], number> = { http: 80, https: 443, socks5: 1080, socks5h: 1080 };

/** What the command line says: a proxy's URL, or `""` for none, and the hosts that are reached without it. */
export interface ProxyArgs {
  proxy?: string | undefined;
  noProxy?: string | undefined;
}

/** The proxy to the server at `url`, or none. Throws `Refused`, without a password. */
export function findProxy(args: ProxyArgs, url: URL, lookup: Lookup): Proxy | undefined {
  const found = choose(args, url, lookup);
  if (!found) return undefined;
  const proxy = parse(found.url);
  if (!proxy) {
    // Not repeated: it may hold a password.
    throw new Refused(
      `an option is not usable: ${found.source} is no proxy's URL; write http://HOST:PORT, https://HOST:PORT or socks5h://HOST:PORT`,
    );
  }
  const bypass = args.noProxy ?? first(["NO_PROXY", "no_proxy"], lookup)?.url ?? "";
  return bypassed(bare(url.hostname), bypass) ? undefined : proxy;
}

interface Found {
  source: string;
  url: string;
}

function choose({ proxy }: ProxyArgs, url: URL, lookup: Lookup): Found | undefined {
  if (proxy !== undefined) return proxy === "" ? undefined : { source: "the proxy", url: proxy };
  // Nobody's proxy has a server of this machine behind it; and the callers of a CGI program choose its HTTP_PROXY.
  if (isLoopback(bare(url.hostname)) || lookup("REQUEST_METHOD") !== undefined) return undefined;
  const own = url.protocol === "https:" ? ["HTTPS_PROXY", "https_proxy"] : ["HTTP_PROXY", "http_proxy"];
  for (const names of [own, ["ALL_PROXY", "all_proxy"]]) {
    const found = first(names, lookup);
    if (found?.url) return found;
  }
  return undefined;
}

function first(names: string[], lookup: Lookup): Found | undefined {
  for (const name of names) {
    const value = lookup(name);
    if (value !== undefined) return { source: name, url: value };
  }
  return undefined;
}

function parse(text: string): Proxy | undefined {
  let url;
  try {
    url = new URL(text.includes("://") ? text : `http://${text}`);
  } catch {
    return undefined;
  }
  const scheme = url.protocol.slice(0, -1) as Proxy["scheme"];
  const host = bare(url.hostname);
  if (!Object.hasOwn(PORTS, scheme) || host === "" || /\s/.test(text)) return undefined;
  const decoded = (part: string) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  };
  const user = url.username && { user: { name: decoded(url.username), password: decoded(url.password) } };
  return { scheme, host, port: Number(url.port) || PORTS[scheme], place: url.host, ...user };
}

/** Whether the list holds the host: names with all below them, addresses, networks, or `*`. */
function bypassed(host: string, list: string): boolean {
  const family = isIP(host);
  return list.split(",").some((untrimmed) => {
    const entry = untrimmed.trim().toLowerCase();
    if (entry === "*") return true;
    if (entry === "") return false;
    if (family === 0) {
      const name = entry.replace(/^\./, "");
      return host === name || host.endsWith(`.${name}`);
    }
    const [address, prefix] = entry.split("/", 2) as [string, string?];
    const plain = bare(address);
    if (isIP(plain) !== family) return false;
    const kind = family === 4 ? "ipv4" : "ipv6";
    const bits = prefix === undefined ? (family === 4 ? 32 : 128) : Number(prefix);
    if (!Number.isInteger(bits) || bits < 0 || bits > (family === 4 ? 32 : 128)) return false;
    const network = new BlockList();
    network.addSubnet(plain, bits, kind);
    return network.check(host, kind);
  });
}

/** Whether the host is this machine. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost") || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** A host without the brackets of an IPv6 address. */
export function bare(host: string): string {
  return host.replace(/^\[|\]$/g, "").toLowerCase();
}
