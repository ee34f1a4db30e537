// Real servers are killed with SIGKILL and started again under the official clients, which notice nothing but a delay.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { connected, GENERATIONS, text } from "./support/clients.mjs";
import { KINDS, Server } from "./support/servers.mjs";
import { until } from "./support/wait.mjs";

const OUTCOME_UNKNOWN = -31001;

describe("restarts", { concurrency: 4 }, () => {
  for (const [generation, Client] of Object.entries(GENERATIONS)) {
    for (const name of Object.keys(KINDS)) {
      test(`${generation} with ${name}`, async (t) => {
        const server = await Server.start(name);
        t.after(() => server.stop());
        const { echo, unsafe } = server.kind;
        const { client, transport, log, closes } = await connected(t, Client, server.url);
        const { tools } = await client.listTools();
        assert.ok(tools.some((tool) => tool.name === "echo"));
        assert.match(await text(client.callTool(echo("before"))), /before/);

        // One call runs when the server dies, and one is made while it is down.
        const mark = `mark-${server.port}-in-flight`;
        const running = client.callTool(unsafe(mark)).catch((error) => error);
        await server.seen(mark);
        await server.kill();
        await until("the loss is noticed", () => log.some(({ type }) => ["disconnected", "reconnecting", "outcomeunknown"].includes(type)));
        const held = text(client.callTool(echo("while down")));
        if (!server.kind.eventIds) assert.equal((await running).code, OUTCOME_UNKNOWN);
        await until("the call is held", () => transport.status().inFlight > 0 && transport.status().state !== "ready");
        await server.start();
        assert.match(await held, /while down/);
        assert.equal((await running).code, OUTCOME_UNKNOWN);
        assert.equal(server.count(mark), 1, "a call ran twice");

        // The next call finds nothing amiss, also after a restart that nobody noticed.
        assert.match(await text(client.callTool(echo("after"))), /after/);
        await server.restart();
        assert.match(await text(client.callTool(echo("after the second"))), /after the second/);
        assert.ok(log.filter(({ type, detail }) => type === "reconnected" && detail.newSession).length >= 2);
        assert.equal(closes(), 0);
        await client.close();
        assert.equal(closes(), 1);
      });
    }
  }
});
