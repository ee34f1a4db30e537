// `node:test` for runtimes that have none which runs by itself: one line per case, and an exit code.
//
// Only what the tests here use of it: `test`, `describe`, and a context with `after` and `diagnostic`.

/** No case takes longer, in milliseconds. */
const LIMIT = 120_000;

/** How many cases run side by side: as many as in one file of Node's. */
const WORKERS = 1;

const cases = [];
let scheduled = false;
const stray = [];

export function test(name, ...rest) {
  cases.push({ name, run: rest.at(-1) });
  if (scheduled) return;
  scheduled = true;
  setTimeout(main, 0);
}

export const it = test;

export function describe(_name, ...rest) {
  rest.at(-1)();
}

/** What a case has of its own. */
class Context {
  #cleanups = [];

  after(cleanup) {
    this.#cleanups.push(cleanup);
  }

  diagnostic(text) {
    console.log(`# ${text}`);
  }

  async finish() {
    for (const cleanup of this.#cleanups.reverse()) await cleanup();
  }
}

async function main() {
  process.on("unhandledRejection", (error) => stray.push(error));
  process.on("uncaughtException", (error) => stray.push(error));
  let failures = 0;
  const worker = async () => {
    for (let one; (one = cases.shift()); ) {
      const begun = performance.now();
      const error = await attempt(one);
      console.log(`${error ? "not ok" : "ok"} - ${one.name} (${Math.round(performance.now() - begun)} ms)`);
      if (error) console.log(String(error?.stack ?? error).replace(/^/gm, "    "));
      failures += error ? 1 : 0;
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, worker));
  for (const error of stray) console.log(`not ok - nobody caught: ${error?.stack ?? error}`);
  process.exit(failures + stray.length > 0 ? 1 : 0);
}

async function attempt({ run }) {
  const context = new Context();
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`not done after ${LIMIT} ms`)), LIMIT)));
  try {
    await Promise.race([run(context), late]);
  } catch (error) {
    return error ?? new Error("it failed without a reason");
  } finally {
    clearTimeout(timer);
    await context.finish();
  }
}
