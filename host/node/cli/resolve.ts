// `--resolve HOST:PORT:ADDRESS[,ADDRESS]`, as curl takes it.
import { isIP } from "node:net";

import type { Addresses } from "./connector.js";
import { Refused } from "./duration.js";
import { bare } from "./proxy.js";

/** Addresses of IPv6 with or without brackets; a `+` before it, which curl has, means nothing here. */
export function resolution(entry: string): Addresses {
  const [, host, digits, list] = /^\+?([^:-][^:]*):(\d+):(.+)$/.exec(entry) ?? [];
  const port = Number(digits);
  const addresses = list?.split(",").map(bare) ?? [];
  if (!host || port < 1 || port > 65_535 || addresses.length === 0 || !addresses.every(isIP)) {
    throw new Refused(`--resolve '${entry}' cannot be read; write HOST:PORT:ADDRESS, for instance jarvis.internal:443:10.0.0.7`);
  }
  return { host, port, addresses };
}
