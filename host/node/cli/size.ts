// Sizes as people write them: `65536`, `64K`, `16MiB`. The units are powers of 1024.
import { Refused } from "./duration.js";

const UNITS: Record<string, number> = { "": 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** A number of bytes that must not be zero. */
export function size(text: string): number {
  const [, digits, unit] = /^(\d+)([a-z]*)$/i.exec(text) ?? [];
  const factor = UNITS[(unit ?? "?").toLowerCase().replace(/(?<=^[kmg])(i?b)$/, "")];
  if (!digits || factor === undefined) throw new Refused("write a size such as 65536, 64K or 16M");
  const bytes = Number(digits) * factor;
  if (bytes === 0) throw new Refused("must be more than zero");
  if (!Number.isSafeInteger(bytes)) throw new Refused("is more than this machine can address");
  return bytes;
}
