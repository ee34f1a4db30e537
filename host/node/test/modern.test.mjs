// MCP 2026-07-28 over the transport: the client of the TypeScript SDK 2.4 in its modes `auto` and `pin` lives through `kill -9` of a
// real server, and so does its subscription.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Client } from "@modelcontextprotocol/client";

import { recorded, text } from "./support/clients.mjs";
import { MODERN, Server } from "./support/servers.mjs";
import { until } from "./support/wait.mjs";

const VERSION = "2026-07-28";
const OUTCOME_UNKNOWN = -31001;
const NOTE = "memo://note";
const MODES = { auto: "auto", pin: { pin: VERSION } };

/** A connected client, and what it was told of changes. */
async function connected(t, server, mode) {
  const { transport, log } = recorded(server.url);
  const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode } });
  const news = [];
  client.setNotificationHandler("notifications/tools/list_changed", () => news.push("tools"));
  client.setNotificationHandler("notifications/resources/updated", ({ params }) => news.push(params.uri));
  await client.connect(transport);
  t.after(() => client.close());
  return { client, transport, log, news };
}

const call = (client, name, args) => client.callTool({ name, arguments: args });
const names = (log) => log.map(({ type }) => type);

describe("MCP 2026-07-28", { concurrency: 2 }, () => {
  for (const [name, mode] of Object.entries(MODES)) {
    for (const kind of Object.keys(MODERN)) {
      test(`a restart of ${kind}, the client in mode ${name}`, async (t) => {
        const server = await Server.start(kind);
        t.after(() => server.stop());
        const { client, transport, log, news } = await connected(t, server, mode);
        assert.equal(client.getNegotiatedProtocolVersion(), VERSION);
        const { tools } = await client.listTools();
        assert.ok(tools.some((tool) => tool.name === "echo"));
        const subscription = await client.listen({ toolsListChanged: true, resourceSubscriptions: [NOTE] });
        let ended = false;
        void subscription.closed.then(() => (ended = true));
        assert.deepEqual(subscription.honoredFilter.resourceSubscriptions, [NOTE]);
        const { session } = transport.status();
        assert.deepEqual(
          { ...session, serverVersion: undefined },
          {
            epoch: 1,
            transport: session.transport,
            protocolVersion: VERSION,
            serverName: "typescript-modern",
            serverVersion: undefined,
            hasSessionId: false,
          },
        );

        // One call runs when the server dies, and one is made while it is down.
        const mark = `mark-${server.port}-in-flight`;
        const running = call(client, "slow", { seconds: 600, mark }).catch((error) => error);
        await server.seen(`slow ${mark}`);
        await server.kill();
        assert.equal((await running).code, OUTCOME_UNKNOWN);
        await until("the loss is told", () => names(log).includes("reconnecting"));
        const held = text(call(client, "echo", { text: "while down" }));
        await until("the call is held", () => transport.status().queued > 0);
        assert.deepEqual(news, [], "nothing is told while it is down");
        await server.start();
        assert.match(await held, /while down/);
        assert.equal(server.count(`slow ${mark}`), 1, "a call ran twice");

        // What it listens to is told once, and then works as before.
        await until("the news of the restart", () => news.length >= 2);
        await text(call(client, "echo", { text: "a barrier" }));
        assert.deepEqual(news.splice(0).sort(), [NOTE, "tools"]);
        await text(call(client, "touch", { uri: NOTE }));
        await until("the server's own news", () => news.length > 0);
        assert.deepEqual(news, [NOTE]);
        assert.equal(ended, false, "the subscription has ended");
        const reconnected = log.find(({ type }) => type === "reconnected").detail;
        assert.deepEqual([reconnected.newSession, reconnected.serverChanged], [false, false]);

        // A call that is cancelled is cancelled at the server.
        const abort = new AbortController();
        const slow = client.callTool({ name: "slow", arguments: { seconds: 600, mark: `${mark}-c` } }, { signal: abort.signal });
        await server.seen(`slow ${mark}-c`);
        abort.abort();
        await assert.rejects(slow);
        await server.seen(`cancelled ${mark}-c`);
        await subscription.close();
        await client.close();
      });
    }
  }

  test("a client whose server knows no session is translated", async (t) => {
    const server = await Server.start("a server of MCP 2026-07-28 only");
    t.after(() => server.stop());
    const { client, log, news } = await connected(t, server, "legacy");
    assert.notEqual(client.getNegotiatedProtocolVersion(), VERSION);
    await client.subscribeResource({ uri: NOTE });
    assert.match(await text(call(client, "echo", { text: "before" })), /before/);
    await server.kill();
    await until("the loss is told", () => names(log).includes("reconnecting"));
    await server.start();
    await until("the news of the restart", () => news.length >= 2);
    assert.match(await text(call(client, "echo", { text: "after" })), /after/);
    assert.deepEqual(news.sort(), [NOTE, "tools"]);
  });
});
