// World `transport` under jco, for hosts that bring `wasi:http`: with JSPI on the main thread, and in a worker thread.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Process } from "./support/process.mjs";
import { runtime } from "./support/runtimes.mjs";
import { Scripted } from "./support/scripted.mjs";
import { transport } from "./support/transport.mjs";
import { until } from "./support/wait.mjs";

const threads = join(fileURLToPath(new URL("transport/", import.meta.url)), "threads.mjs");

/** Requests at the end: the event stream, and the call in which they are counted. */
const BUSY = 2;

/** Connections at the end: with those that wait for the next request. There have been eight sessions, and an attempt that failed. */
const OPEN = 4;

/** The `initialize` that the server never answers. */
const UNANSWERED = 5;

const SAID = [
  "initialized",
  "ran before",
  "go away",
  "come back",
  "ran during",
  "ran after",
  "the event loop went on",
  ...Array(6).fill("ran round"),
  "ran last",
];

describe("the component transport", () => {
  let built;
  before(async () => (built = await transport()), { timeout: 900_000 });
  after(() => built?.remove());

  for (const sse of [false, true]) {
    const name = sse ? "HTTP+SSE" : "Streamable HTTP";
    for (const host of ["Node 24", "Node 26", "Bun", "Deno"]) {
      test(`with JSPI on the main thread: ${host}, ${name}`, async (t) => {
        const permissions = host === "Deno" ? ["run", "--no-prompt", "--allow-net=127.0.0.1", "--allow-read"] : [];
        await survives(t, sse, [await runtime(host), ...permissions, built.program]);
      });
    }
    for (const host of ["this Node", "Node 22"]) {
      test(`in a worker thread: ${host}, ${name}`, async (t) => {
        await survives(t, sse, [await runtime(host), threads, built.blocking]);
      });
    }
  }
});

/** The program calls before, while and after the server is away, and leaves nothing behind. */
async function survives(t, sse, [command, ...args]) {
  let busy;
  let open;
  const server = await Scripted.start({
    sse,
    on: (call) => {
      // Its connection must go when the client has waited long enough.
      if (call.kind === "initialize" && server.of("initialize").length === UNANSWERED) return true;
      if (call.mark === "last") {
        open = server.sockets.size;
        busy = [...server.sockets].filter((socket) => socket._httpMessage).length;
      }
      return false;
    },
  });
  t.after(() => server.stop());
  const program = new Process(command, [...args, String(server.url)]);
  const said = (line) =>
    until(`the program says ${line}`, () => program.stdout.includes(line) || !program.running).catch((error) =>
      assert.fail(`${error.message}\n${program.stdout}${program.stderr}`),
    );
  await said("go away");
  await server.down();
  await said("come back");
  await server.up();
  const { code } = await program.end().catch((error) => assert.fail(`${error.message}\n${program.stdout}${program.stderr}`));
  assert.equal(code, 0, program.stderr);
  assert.deepEqual(program.stdout.trim().split("\n"), SAID, program.stderr);
  assert.equal(server.executions("during"), 1);
  const sessions = server.of("initialize").length;
  assert.ok(open <= OPEN, `${open} connections are open at the server after ${sessions} sessions`);
  t.diagnostic(`${open} connections, ${busy} of them busy, after ${sessions} sessions`);
  assert.ok(busy <= BUSY, `${busy} requests are open at the server after ${sessions} sessions`);
}
