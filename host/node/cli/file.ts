// Files of certificates and keys, which need not be small ones or files at all.
import { closeSync, openSync, readSync } from "node:fs";

import { Refused } from "./duration.js";

/** No file of certificates or keys is larger. */
const MAX_FILE_BYTES = 16 << 20;

/** The text of a file. Throws `Refused`, which names the option. */
export function readFile(option: string, path: string): string {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    const file = openSync(path, "r");
    try {
      while (length <= MAX_FILE_BYTES) {
        const chunk = Buffer.alloc(64 << 10);
        const read = readSync(file, chunk);
        if (read === 0) return Buffer.concat(chunks).toString();
        chunks.push(chunk.subarray(0, read));
        length += read;
      }
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw new Refused(`${option} ${path} cannot be read: ${(error as Error).message}`);
  }
  throw new Refused(`${option} ${path} is larger than 16 MiB, too large for certificates`);
}
