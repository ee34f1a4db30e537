// What a command prints that is no bridge.

/** Writes to stdout; that it is closed is nobody's loss. */
export function write(text: string): Promise<void> {
  return new Promise((resolve) => process.stdout.on("error", () => resolve()).write(text, () => resolve()));
}
