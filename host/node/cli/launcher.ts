// What npm puts on the PATH as `mcp-reconnect`: starts the native program, where a package for this platform is installed, and else
// the command on WebAssembly beside it. Both have the same options, messages and exit codes; `--version` says which one it is.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";

import { VERSION } from "./version.js";

/** Which of the two is started: `auto`, `native` or `wasm`. */
const CHOICE = "MCP_RECONNECT_IMPLEMENTATION";

const INTERNAL_FAILURE = 1;
const WRONG_USAGE = 2;

/** Signals that mean something to the program. They are its own to answer. */
const FORWARDED: NodeJS.Signals[] = ["SIGHUP", "SIGINT", "SIGTERM", "SIGUSR1"];

const choice = process.env[CHOICE] || "auto";
if (!["auto", "native", "wasm"].includes(choice)) fail(`${CHOICE} is ${choice}, and must be auto, native or wasm`, WRONG_USAGE);
const program = choice === "wasm" ? undefined : installed();
if (program === undefined) {
  if (choice === "native") fail(`${CHOICE} is native, but the package ${name()} is not installed in this version, ${VERSION}`, WRONG_USAGE);
  await import("./main.js");
} else {
  start(program);
}

/** The package with the native program for this platform. Whether there is one is known to npm alone. */
function name(): string {
  return `@mcp-reconnect/${process.platform}-${process.arch}`;
}

/** The native program, if it is installed and belongs to this very version. */
function installed(): string | undefined {
  try {
    const manifest = createRequire(import.meta.url).resolve(`${name()}/package.json`);
    const { version } = createRequire(import.meta.url)(manifest) as { version: string };
    const file = join(dirname(manifest), "bin", process.platform === "win32" ? "mcp-reconnect.exe" : "mcp-reconnect");
    return version === VERSION && existsSync(file) ? file : undefined;
  } catch {
    return undefined;
  }
}

/** Becomes the native program where Node can, and else waits for it and ends as it does. */
function start(file: string): void {
  const args = process.argv.slice(2);
  const { execve } = process as { execve?: (file: string, args: string[], environment: NodeJS.ProcessEnv) => never };
  if (execve && process.platform !== "win32") {
    try {
      // Node's warning that this is experimental would be written on its next turn, which does not come.
      execve(file, [file, ...args], process.env);
    } catch {
      // Not permitted, say: the other way then.
    }
  }
  const child = spawn(file, args, { stdio: "inherit" });
  for (const signal of FORWARDED) {
    // On Windows Ctrl-C reaches every process of the console by itself.
    process.on(signal, () => void (process.platform === "win32" || child.kill(signal)));
  }
  child.on("error", (error) => fail(`${file} cannot be started: ${error.message}; ${CHOICE}=wasm does without it`, INTERNAL_FAILURE));
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal as NodeJS.Signals] ?? 0)));
}

function fail(message: string, code: number): never {
  process.stderr.write(`mcp-reconnect: ${message}\n`);
  process.exit(code);
}
