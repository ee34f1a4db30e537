// What becomes of requests that are in flight when the connection breaks, and of those made while there is none.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { connected, GENERATIONS, text } from "./support/clients.mjs";
import { Scripted } from "./support/scripted.mjs";
import { until } from "./support/wait.mjs";

const TRANSPORTS = { "Streamable HTTP": { sse: false }, "HTTP+SSE": { sse: true } };

describe("requests in flight", { concurrency: 8 }, () => {
  for (const [generation, Client] of Object.entries(GENERATIONS)) {
    for (const [name, { sse }] of Object.entries(TRANSPORTS)) {
      const transport = sse ? "sse" : "http";

      test(`a safe request is sent again: ${name}, ${generation}`, async (t) => {
        let lists = 0;
        // The first list is taken and never answered.
        const server = await Scripted.start({
          sse,
          on: (call) => call.kind === "tools/list" && ++lists === 1 && (sse ? call.text(202, "text/plain", "") : true),
        });
        t.after(() => server.stop());
        const { client, log } = await connected(t, Client, server.url, { transport });
        const list = client.listTools();
        await server.seen("tools/list");
        await server.down();
        await server.up();
        assert.equal((await list).tools.length, 2);
        assert.equal(lists, 2);
        assert.deepEqual(
          log.filter(({ type }) => type === "replayed").map(({ detail }) => detail.method),
          ["tools/list"],
        );
      });

      test(`an unsafe request is not, and its outcome is said to be unknown: ${name}, ${generation}`, async (t) => {
        const server = await Scripted.start({ sse });
        t.after(() => server.stop());
        const { client, log } = await connected(t, Client, server.url, { transport });
        const call = client.callTool({ name: "hang", arguments: { mark: "unsafe" } }).catch((error) => error);
        await server.ran("unsafe");
        await server.down();
        const { code, data } = await call;
        assert.equal(code, -31001);
        assert.equal(data.method, "tools/call");
        const noted = log.filter(({ type }) => type === "outcomeunknown");
        assert.equal(noted.length, 1);
        assert.equal(noted[0].detail.method, "tools/call");
        await server.up();
        assert.equal(await text(client.callTool({ name: "run", arguments: { mark: "next" } })), "ran next");
        assert.equal(server.executions("unsafe"), 1);
      });

      test(`a held request says after its time that it did not run: ${name}, ${generation}`, async (t) => {
        const server = await Scripted.start({ sse });
        t.after(() => server.stop());
        const { client, log } = await connected(t, Client, server.url, { transport, holdTimeout: 3000 });
        await server.down();
        await until("the loss is noticed", () => log.some(({ type }) => type === "disconnected"));
        await assert.rejects(client.callTool({ name: "run", arguments: { mark: "held" } }), { code: -31002 });
        await server.up();
        assert.equal(await text(client.callTool({ name: "run", arguments: { mark: "later" } })), "ran later");
        assert.equal(server.executions("held"), 0);
      });

      test(`calls from one client run side by side: ${name}, ${generation}`, async (t) => {
        const server = await Scripted.start({ sse });
        t.after(() => server.stop());
        const { client } = await connected(t, Client, server.url, { transport });
        const hanging = client.callTool({ name: "hang", arguments: { mark: "long" } }).catch((error) => error);
        await server.ran("long");
        assert.equal(await text(client.callTool({ name: "run", arguments: { mark: "short" } })), "ran short");
        await client.close();
        // The client itself gives up what is open when its transport closes, or takes the transport's answer.
        assert.ok((await hanging) instanceof Error);
      });
    }
  }
});

test("a cancelled call is cancelled at the server, before any answer", async (t) => {
  const server = await Scripted.start();
  t.after(() => server.stop());
  const { client } = await connected(t, GENERATIONS["sdk 1.x"], server.url);
  const controller = new AbortController();
  const call = client.callTool({ name: "hang", arguments: { mark: "cancelled" } }, undefined, { signal: controller.signal });
  await server.ran("cancelled");
  controller.abort();
  await assert.rejects(call);
  await server.seen("notifications/cancelled");
});

test("the server's questions are answered", async (t) => {
  const server = await Scripted.start();
  t.after(() => server.stop());
  await connected(t, GENERATIONS["sdk 1.x"], server.url);
  await server.seen("GET");
  const [session] = server.sessions;
  await until("the event stream is open", () => server.streams.has(session));
  server.push(session, { jsonrpc: "2.0", id: "question-1", method: "ping" });
  await server.seen("answer");
  assert.equal(server.of("answer")[0].message.id, "question-1");
});
