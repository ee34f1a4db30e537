// The component fails: what was in flight is answered, and the connection goes on with another one. It is the real one, built to fail
// when a message says so.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { Client } from "@modelcontextprotocol/client";

import { Command, INITIALIZE, INITIALIZED } from "./support/command.mjs";
import { faulty } from "./support/faults.mjs";
import { Scripted } from "./support/scripted.mjs";
import { until } from "./support/wait.mjs";

const { ReconnectingTransport } = await import(join(faulty(), "esm/index.js"));

/** A server that never answers a call marked `wait`. */
async function scripted(t, options = {}) {
  const server = await Scripted.start({ ...options, on: (call) => call.mark === "wait" });
  t.after(() => server.stop());
  return server;
}

const call = (id, mark) =>
  `${JSON.stringify({ jsonrpc: "2.0", id, method: "tools/call", params: { name: "run", arguments: { mark } } })}\n`;
const answers = (id) => (line) => JSON.parse(line).id === id && JSON.parse(line).method === undefined;

async function command(t, server) {
  const command = new Command([String(server.url)], {}, process.execPath, "dist-faults");
  t.after(() => command.kill());
  command.write(`${INITIALIZE}\n${INITIALIZED}\n`);
  await command.stdout.next(answers(1));
  await server.seen("notifications/initialized");
  return command;
}

for (const sse of [false, true]) {
  test(`the command goes on, ${sse ? "sse" : "http"}`, async (t) => {
    const server = await scripted(t, { sse });
    const bridge = await command(t, server);
    bridge.write(call(2, "wait"));
    await server.seen("tools/call");
    bridge.write(call(3, "faults/trap-later"));
    const [first, second] = [JSON.parse(await bridge.stdout.next(answers(2))), JSON.parse(await bridge.stdout.next(answers(3)))];
    assert.deepEqual([first.error.code, second.error.code], [-31001, -31001]);
    await bridge.stderr.next((line) => line.includes("the transport component failed"));
    await bridge.stderr.next((line) => line.includes("reconnected, new session"));
    await bridge.stdout.next((line) => line.includes("notifications/tools/list_changed"));
    bridge.write(call(4, "faults/trap-now"));
    assert.equal(JSON.parse(await bridge.stdout.next(answers(4))).error.code, -31002);
    bridge.write(call(5, "after"));
    assert.ok(JSON.parse(await bridge.stdout.next(answers(5))).result);
    assert.equal(server.executions("faults/trap-now"), 0);
    assert.equal(server.executions("after"), 1);
    assert.equal(bridge.stdout.lines.filter(answers(1)).length, 1, "initialize is answered once");
    bridge.closeStdin();
    assert.deepEqual(await bridge.end(), { code: 0, signal: null });
  });
}

test("the command whose every initialize makes it fail", async (t) => {
  const server = await scripted(t);
  const bridge = new Command([String(server.url)], {}, process.execPath, "dist-faults");
  t.after(() => bridge.kill());
  bridge.write(`${INITIALIZE.replace('"cases"', '"faults/trap-now"')}\n`);
  assert.equal(JSON.parse(await bridge.stdout.next(answers(1))).error.code, -31002);
  bridge.write(`${INITIALIZE.replace('"id":1', '"id":2')}\n${INITIALIZED}\n`);
  assert.ok(JSON.parse(await bridge.stdout.next(answers(2))).result);
  bridge.closeStdin();
  assert.deepEqual(await bridge.end(), { code: 0, signal: null });
});

test("the transport goes on", async (t) => {
  const server = await scripted(t);
  const transport = new ReconnectingTransport(server.url, { headers: { authorization: "first" } });
  const log = [];
  for (const type of ["disconnected", "reconnected", "outcomeunknown", "diagnostic", "closed"]) {
    transport.addEventListener(type, ({ detail }) => log.push({ type, detail }));
  }
  const client = new Client({ name: "test", version: "1" });
  await client.connect(transport);
  t.after(() => client.close());
  transport.setHeaders({ authorization: "second" });
  const failed = (mark) =>
    client.callTool({ name: "run", arguments: { mark } }).then(
      () => assert.fail("it ran"),
      ({ code }) => code,
    );
  const waiting = failed("wait");
  await server.seen("tools/call");
  assert.equal(await failed("faults/trap-now"), -31002);
  assert.equal(await waiting, -31001);
  await until("another session", () => log.some(({ type }) => type === "reconnected"));
  assert.ok(log.some(({ type, detail }) => type === "disconnected" && detail.reason.includes("failed")));
  assert.ok(log.some(({ type, detail }) => type === "outcomeunknown" && detail.method === "tools/call"));
  const { content } = await client.callTool({ name: "run", arguments: { mark: "after" } });
  assert.equal(content[0].text, "ran after");
  assert.equal(transport.status().session.epoch, 2);
  const { headers } = server.of("tools/call").at(-1);
  assert.equal(headers.authorization, "second");
});
