// The package's command in a process of its own, driven as an MCP client drives it.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { PATIENCE, within } from "./wait.mjs";

const folder = fileURLToPath(new URL("../../", import.meta.url));

/** The repository. */
export const workspace = process.env.MCP_RECONNECT_WORKSPACE ?? join(folder, "../..");

export const INITIALIZE = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "cases", version: "1" } },
});
export const INITIALIZED = JSON.stringify({ jsonrpc: "2.0", method: "notifications/initialized" });

const alive = new Set();
process.on("exit", () => {
  for (const child of alive) child.kill("SIGKILL");
});

/** Lines as they arrive, and a way to wait for one. */
class Lines {
  text = "";
  lines = [];
  #next = 0;
  #wake = () => {};
  #ended = false;

  constructor(stream) {
    let rest = "";
    stream.setEncoding("utf8").on("data", (text) => {
      this.text += text;
      const lines = (rest + text).split("\n");
      rest = lines.pop();
      this.lines.push(...lines);
      this.#wake();
    });
    stream.on("close", () => {
      if (rest) this.lines.push(rest);
      this.#ended = true;
      this.#wake();
    });
  }

  /** Waits for a line; each is looked at once. */
  async next(matches, patience = PATIENCE) {
    const end = performance.now() + patience;
    for (;;) {
      while (this.#next < this.lines.length) {
        const line = this.lines[this.#next++];
        if (matches(line)) return line;
      }
      const left = end - performance.now();
      if (this.#ended || left <= 0) throw new Error(`no such line:\n${this.text.slice(-4000)}`);
      await within("a line", new Promise((resolve) => (this.#wake = resolve)), left).catch(() => {});
    }
  }
}

export class Command {
  constructor(args, env = {}, node = process.execPath, dist = "dist") {
    this.child = spawn(node, [join(folder, dist, "cli.js"), ...args], { stdio: "pipe", env: { ...process.env, ...env } });
    alive.add(this.child);
    this.stdout = new Lines(this.child.stdout);
    this.stderr = new Lines(this.child.stderr);
    // It may end before it has read everything.
    this.child.stdin.on("error", () => {});
    this.ended = new Promise((resolve, reject) => {
      this.child.on("error", reject).on("close", (code, signal) => resolve({ code, signal }));
    });
    this.ended.catch(() => {});
    this.child.on("exit", () => alive.delete(this.child));
  }

  write(bytes) {
    this.child.stdin.write(bytes);
  }

  signal(signal) {
    this.child.kill(signal);
  }

  closeStdin() {
    this.child.stdin.end();
  }

  closeStdout() {
    this.child.stdout.destroy();
  }

  /** How it ended by itself. */
  end() {
    return within(`the end of process ${this.child.pid}`, this.ended);
  }

  async kill() {
    this.child.kill("SIGKILL");
    await this.ended;
  }
}
