// A program: the component `transport` on the main thread, by JSPI. `receive` waits, and the event loop goes on.
import { readFile } from "node:fs/promises";

import { instantiate } from "#component";

import { session } from "./session.mjs";
import { imports, interrupt } from "./wasi.mjs";

const [url] = globalThis.Deno?.args ?? process.argv.slice(2);
const module = async (name) => WebAssembly.compile(await readFile(new URL(name, import.meta.url)));
const { client, types } = await instantiate(module, imports);
const options = new types.Options(url);
options.setResponseTimeout(1_000_000_000n);
const connection = client.Connection.open(options);

let wake = () => {};
const waiting = [];
let ticks = 0;
const timer = setInterval(() => (ticks += 1), 10);

/** The loop of `wit/client.wit`: calls of the program are made between two waits. */
async function loop() {
  for (;;) {
    const until = interrupt();
    wake = until.wake;
    for (const call of waiting.splice(0)) call(connection);
    try {
      for (const event of await connection.receive(0, until.pollable)) tell(event);
    } catch (error) {
      // As an export that waits throws it.
      if ((error?.payload ?? error)?.tag === "closed") return;
      throw error;
    }
  }
}

const call = (action) => {
  waiting.push(action);
  wake();
};

let tell;
const done = session({
  send: (message) => call((connection) => connection.send(JSON.stringify(message))),
  reconnect: () => call((connection) => connection.reconnect()),
  close: () => call((connection) => connection.close()),
  ticks: () => ticks,
  listen: (listener) => (tell = listener),
});
await Promise.all([loop(), done]);
clearInterval(timer);
