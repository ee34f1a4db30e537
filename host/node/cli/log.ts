// Diagnostics on stderr: one line each, `mcp-reconnect: what happened`. MCP clients put their own time before each line, so a time is
// added only where somebody searches a fault (`debug` and `trace`).
//
// A client that keeps the pipe and never reads it must not fill the memory: past a number of waiting lines, further ones are
// dropped and counted.

import { visible } from "./visible.js";

export const LEVELS = ["off", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LEVELS)[number];

/** Lines that may wait. */
const QUEUE = 1024;
/** The longest line, in characters. */
const LONGEST = 2000;
/** How long the end of the process waits for lines that wait, in milliseconds. */
const FLUSH = 100;

let shown = LEVELS.indexOf("info");
let asJson = false;
let waiting = 0;
let dropped = 0;
let drained = (): void => {};

// A closed stderr is nobody's loss.
process.stderr.on("error", () => {});

/** What is to be shown from now on, and whether as JSON objects. */
export function setLevel(level: LogLevel, json: boolean): void {
  shown = LEVELS.indexOf(level);
  asJson = json;
}

export const log = {
  error: (text: string) => write("error", "error: ", text),
  warn: (text: string) => write("warn", "warning: ", text),
  info: (text: string) => write("info", "", text),
  debug: (text: string) => write("debug", "debug: ", text),
  /** Whatever the level. */
  line: (text: string) => {
    if (!asJson) return enqueue(`mcp-reconnect: ${visible(text, LONGEST)}\n`);
    const [, problem] = /^error: (.*)$/s.exec(text) ?? [];
    enqueue(jsonLine(problem === undefined ? "info" : "error", problem ?? text));
  },
};

/** Waits a moment for what is still to be written. */
export async function flush(): Promise<void> {
  if (waiting === 0) return;
  await new Promise<void>((resolve) => {
    drained = resolve;
    setTimeout(resolve, FLUSH).unref();
  });
}

function write(level: LogLevel, prefix: string, text: string): void {
  if (LEVELS.indexOf(level) > shown) return;
  if (asJson) return enqueue(jsonLine(level, text));
  const times = shown >= LEVELS.indexOf("debug");
  const time = times ? `[${(performance.now() / 1000).toFixed(3).padStart(10)}] ` : "";
  enqueue(`mcp-reconnect: ${time}${prefix}${visible(text, LONGEST)}\n`);
}

function jsonLine(level: LogLevel, text: string): string {
  return `${JSON.stringify({ timestamp: new Date().toISOString(), level, message: visible(text, LONGEST) })}\n`;
}

function enqueue(line: string): void {
  if (waiting >= QUEUE) {
    dropped += 1;
    return;
  }
  waiting += 1;
  process.stderr.write(line, () => {
    waiting -= 1;
    if (dropped > 0 && waiting < QUEUE / 2) {
      const lost = dropped;
      dropped = 0;
      log.line(`${lost} lines of this log were dropped: nobody read them in time`);
    }
    if (waiting === 0) drained();
  });
}
