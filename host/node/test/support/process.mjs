// Child processes. Each is killed by its own process id, at the latest when the test program ends.
import { spawn } from "node:child_process";

import { PATIENCE, within } from "./wait.mjs";

const alive = new Set();
process.on("exit", () => {
  for (const child of alive) child.kill("SIGKILL");
});

export class Process {
  stdout = "";
  stderr = "";

  constructor(command, args, options = {}) {
    this.child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    alive.add(this.child);
    for (const name of ["stdout", "stderr"]) this.child[name].setEncoding("utf8").on("data", (text) => (this[name] += text));
    this.ended = new Promise((resolve, reject) => {
      this.child.on("error", reject);
      this.child.on("close", (code, signal) => resolve({ code, signal }));
    });
    // Who asks for it hears of it.
    this.ended.catch(() => {});
    this.child.on("exit", () => alive.delete(this.child));
  }

  get running() {
    return alive.has(this.child);
  }

  /** How it ended by itself. */
  async end(patience = PATIENCE) {
    try {
      return await within(`the end of process ${this.child.pid}`, this.ended, patience);
    } finally {
      this.child.kill("SIGKILL");
    }
  }

  /** `kill -9`; resolves when it is gone. */
  async kill() {
    this.child.kill("SIGKILL");
    await this.ended;
  }
}
