// The command `npx mcp-reconnect URL`.
import { checkHelp, help, read } from "./args.js";
import { run } from "./bridge.js";
import { run as runCheck } from "./check.js";
import { Refused } from "./duration.js";
import { flush, log, setLevel } from "./log.js";
import { write } from "./stdout.js";
import { VERSION } from "./version.js";

const INTERNAL_FAILURE = 1;
const WRONG_USAGE = 2;

for (const event of ["uncaughtException", "unhandledRejection"] as const) {
  process.on(event, (error: unknown) => void exit(failure(error)));
}
await exit(await command().catch(failure));

async function command(): Promise<number> {
  const lookup = (name: string) => process.env[name];
  const wanted = read(process.argv.slice(2), lookup);
  if ("help" in wanted) return print(wanted.help === "check" ? checkHelp() : help());
  if ("version" in wanted) return print(`mcp-reconnect ${VERSION} (WebAssembly, ${runtime()})\n`);
  if ("limit" in wanted) {
    setLevel("warn", false);
    return runCheck(wanted, lookup);
  }
  setLevel(wanted.log, wanted.json);
  return run(wanted, lookup);
}

/** Says in one line on stderr what is wrong. */
function failure(error: unknown): number {
  if (error instanceof Refused) {
    log.line(`${error.message} (see mcp-reconnect --help)`);
    return WRONG_USAGE;
  }
  log.line(`error: ${error instanceof Error ? error.message : String(error)}`);
  return INTERNAL_FAILURE;
}

/** What runs this, with its version. Bun and Deno have a version for Node's sake too. */
function runtime(): string {
  const { bun, deno, node } = process.versions;
  return bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : `Node ${node}`;
}

async function print(text: string): Promise<number> {
  await write(text);
  return 0;
}

async function exit(code: number): Promise<void> {
  await flush();
  process.exit(code);
}
