// What waiting cannot cure is said at once, on every runtime: its `fetch` has words of its own for it.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";

import { recorded } from "./support/clients.mjs";
import { within } from "./support/wait.mjs";

const initialize = {
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "x", version: "1" } },
};

/** The answer to `initialize`, which must come although it may wait for an absent server for minutes. */
async function refused(t, url) {
  const { transport } = recorded(url, { startTimeout: 0 });
  t.after(() => transport.close());
  const answer = new Promise((resolve) => (transport.onmessage = resolve));
  await transport.start();
  await transport.send(initialize);
  const { error } = await within("an answer", answer);
  return error;
}

test("a server that speaks no TLS", async (t) => {
  const server = createServer((socket) => socket.on("error", () => {}).end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  assert.equal((await refused(t, `https://127.0.0.1:${server.address().port}/mcp`)).code, -31007);
});

// Bun connects to any port.
if (!process.versions.bun) {
  test("a port that fetch refuses", async (t) => {
    assert.match((await refused(t, "http://127.0.0.1:6000/mcp")).message, /bad port|port 6000 .*blocked/);
  });
}
