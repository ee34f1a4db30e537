// What stays of many calls and many reconnects: no memory of JavaScript or of the component, and no connection.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

// Before the package makes an instance: its memory is nobody else's business.
const memories = [];
const { Instance } = WebAssembly;
// biome-ignore lint/complexity/useArrowFunction: it is called with `new`
WebAssembly.Instance = function (...args) {
  const instance = new Instance(...args);
  if (instance.exports.memory) memories.push(instance.exports.memory);
  return instance;
};
const { connected, GENERATIONS, text } = await import("./support/clients.mjs");
const { Scripted } = await import("./support/scripted.mjs");
const { until } = await import("./support/wait.mjs");

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");

/** What the program holds, when all that nobody holds is gone. */
async function measure() {
  for (let round = 0; round < 3; round++) {
    await new Promise(setImmediate);
    collect();
  }
  return { heap: process.memoryUsage().heapUsed, wasm: memories.at(-1).buffer.byteLength };
}

/** Runs `work` three times, and compares what is held after the second and the third: the first ones fill caches. */
async function flat(work, slack) {
  await work();
  const before = await measure();
  await work();
  const middle = await measure();
  await work();
  const after = await measure();
  assert.ok(after.heap - middle.heap < slack, `the heap grows: ${[before, middle, after].map(({ heap }) => heap)}`);
  assert.equal(after.wasm, middle.wasm, "the component's memory grows");
}

const MEGABYTE = 1 << 20;

for (const [transport, sse] of [
  ["http", false],
  ["sse", true],
]) {
  test(`10,000 calls, ${transport}`, async (t) => {
    const server = await Scripted.start({ sse });
    t.after(() => server.stop());
    const { client } = await connected(t, GENERATIONS["sdk 1.x"], server.url, { transport });
    await flat(async () => {
      for (let call = 0; call < 3400; call += 10) {
        const marks = Array.from({ length: 10 }, (_, index) => `${call + index}`);
        const texts = await Promise.all(marks.map((mark) => text(client.callTool({ name: "run", arguments: { mark } }))));
        assert.deepEqual(
          texts,
          marks.map((mark) => `ran ${mark}`),
        );
        // The server's own memory is not of interest.
        server.records.length = 0;
      }
    }, 1.5 * MEGABYTE);
    assert.ok(server.accepted < 30, `${server.accepted} connections for one after the other`);
  });

  test(`1,000 reconnects, ${transport}`, async (t) => {
    const server = await Scripted.start({ sse });
    t.after(() => server.stop());
    const { transport: connection, log } = await connected(t, GENERATIONS["client 2.x"], server.url, { transport });
    let done = 0;
    await flat(async () => {
      for (let round = 0; round < 340; round++) {
        connection.reconnect();
        done += 1;
        await until("the new session", () => connection.status().reconnects === done && connection.status().state === "ready");
        server.records.length = log.length = 0;
      }
    }, 1.5 * MEGABYTE);
    // A stream, what is kept alive for the next request, and the stream that is just being closed.
    await until("the connections of old sessions are closed", () => server.sockets.size <= 3);
  });
}
