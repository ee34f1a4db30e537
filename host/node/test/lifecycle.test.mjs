// What the official clients expect of a transport: the order of its callbacks, what its end means, and that it ends.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { ReconnectingTransport } from "mcp-reconnect";

import { connected, GENERATIONS, recorded, text } from "./support/clients.mjs";
import { freePort } from "./support/port.mjs";
import { Process } from "./support/process.mjs";
import { Scripted } from "./support/scripted.mjs";
import { until, within } from "./support/wait.mjs";

const URL_OF_NOBODY = "http://127.0.0.1:9/mcp";
/** A program has to load the SDK first, beside many others. */
const STARTUP = 60_000;
const initialize = {
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "x", version: "1" } },
};

async function started(t, options) {
  const server = await Scripted.start(options);
  t.after(() => server.stop());
  const { transport, log } = recorded(server.url);
  const seen = [];
  transport.onmessage = (message) => seen.push(message);
  transport.onclose = () => seen.push("closed");
  transport.onerror = (error) => seen.push(error);
  t.after(() => transport.close());
  await transport.start();
  return { server, transport, log, seen };
}

test("start twice, send before start, send after close: all are refused", async () => {
  const transport = new ReconnectingTransport(URL_OF_NOBODY);
  await assert.rejects(transport.send(initialize), /not started/);
  await transport.start();
  await assert.rejects(transport.start(), /started before/);
  await transport.close();
  await assert.rejects(transport.send(initialize), /closed/);
  await assert.rejects(transport.start(), /started before/);
  assert.throws(() => transport.reconnect(), /closed/);
  assert.equal(transport.status().state, "closed");
});

test("close is heard once, whoever closes and however often", async (t) => {
  const { transport, seen, log } = await started(t);
  const [first, second] = [transport.close(), transport.close()];
  await Promise.all([first, second]);
  await transport.close();
  assert.deepEqual(seen, ["closed"]);
  assert.equal(log.filter(({ type }) => type === "closed").length, 1);
});

test("close before start", async () => {
  const transport = new ReconnectingTransport(URL_OF_NOBODY);
  let closes = 0;
  transport.onclose = () => (closes += 1);
  await transport.close();
  await transport.close();
  assert.equal(closes, 1);
  await assert.rejects(transport.start(), /closed/);
});

test("an open request is answered before the close is heard, and the session is ended at the server", async (t) => {
  const { server, transport, seen } = await started(t);
  await transport.send(initialize);
  await until("the session", () => seen.length === 1);
  await transport.send({ jsonrpc: "2.0", method: "notifications/initialized" });
  await transport.send({ jsonrpc: "2.0", id: 2, method: "tools/call", params: { name: "hang", arguments: { mark: "open" } } });
  await server.ran("open");
  const begun = performance.now();
  await transport.close();
  assert.ok(performance.now() - begun < 2000);
  assert.equal(seen.length, 3);
  assert.equal(seen[1].id, 2);
  assert.equal(seen[1].error.code, -31009);
  assert.equal(seen[2], "closed");
  assert.equal(server.of("DELETE").length, 1);
  await until("no connection is left", () => server.sockets.size === 0 || [...server.sockets].every((socket) => !socket._httpMessage));
});

test("messages come in the order of the wire, also when a handler sends", async (t) => {
  const { server, transport } = await started(t);
  const order = [];
  transport.onmessage = (message) => {
    order.push(message.id ?? message.params.data);
    if (message.params?.data === 1) void transport.send({ jsonrpc: "2.0", id: "from the handler", method: "ping" });
  };
  await transport.send(initialize);
  await until("the session", () => order.length === 1);
  await transport.send({ jsonrpc: "2.0", method: "notifications/initialized" });
  await server.seen("GET");
  const [session] = server.sessions;
  await until("the event stream", () => server.streams.has(session));
  const lines = [1, 2, 3, 4].map(
    (data) => `data: ${JSON.stringify({ jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data } })}\n\n`,
  );
  server.streams.get(session).write(lines.join(""));
  await until("all of them", () => order.length === 6);
  assert.deepEqual(order, [1, 1, 2, 3, 4, "from the handler"]);
});

test("a handler that throws is told to onerror, and nothing else suffers", async (t) => {
  const { transport, seen } = await started(t);
  transport.onmessage = () => {
    throw new Error("the program's own");
  };
  await transport.send(initialize);
  await until("the error", () => seen.length === 1);
  assert.match(seen[0].message, /the program's own/);
  await transport.close();
  assert.equal(seen.at(-1), "closed");
});

test("an aborted signal closes", async (t) => {
  const server = await Scripted.start();
  t.after(() => server.stop());
  const controller = new AbortController();
  const { client, closes } = await connected(t, GENERATIONS["client 2.x"], server.url, { signal: controller.signal });
  await client.ping();
  controller.abort();
  await until("the close", () => closes() === 1);
  const late = new ReconnectingTransport(server.url, { signal: controller.signal });
  await assert.rejects(late.start(), { name: "AbortError" });
});

test("the session id is not shown: the client would take the transport for one that is initialised", async (t) => {
  const server = await Scripted.start();
  t.after(() => server.stop());
  const { transport, log } = await connected(t, GENERATIONS["sdk 1.x"], server.url);
  assert.equal(transport.sessionId, undefined);
  assert.equal(transport.status().session.hasSessionId, true);
  const [session] = server.sessions;
  assert.ok(!JSON.stringify([log, transport.status()]).includes(session));
});

test("reconnect begins a new session, probe does not", async (t) => {
  const server = await Scripted.start();
  t.after(() => server.stop());
  const { client, transport, log } = await connected(t, GENERATIONS["client 2.x"], server.url);
  transport.probe();
  await server.seen("ping");
  assert.equal(server.of("initialize").length, 1);
  transport.reconnect();
  await until("the new session", () => log.some(({ type }) => type === "reconnected"));
  assert.equal(server.of("initialize").length, 2);
  assert.equal(await text(client.callTool({ name: "run", arguments: { mark: "after" } })), "ran after");
  assert.equal(transport.status().reconnects, 1);
});

test("the 2.x client may ask for the newer protocol first", async (t) => {
  const server = await Scripted.start();
  t.after(() => server.stop());
  const { transport } = recorded(server.url);
  const client = new GENERATIONS["client 2.x"]({ name: "test", version: "1" }, { versionNegotiation: { mode: "auto" } });
  t.after(() => client.close());
  await client.connect(transport);
  assert.equal(await text(client.callTool({ name: "run", arguments: { mark: "auto" } })), "ran auto");
});

test("a server that is down at the start is picked up when it comes", async (t) => {
  const server = new Scripted();
  server.port = await freePort();
  const connecting = connected(t, GENERATIONS["sdk 1.x"], server.url, { startTimeout: 0 });
  await new Promise(setImmediate);
  await server.up();
  t.after(() => server.stop());
  const { client } = await connecting;
  assert.equal(await text(client.callTool({ name: "run", arguments: { mark: "late" } })), "ran late");
});

test("options that are wrong are named, and those of the SDKs' transports that do not exist here", () => {
  const refused = (options, message) => assert.throws(() => new ReconnectingTransport(URL_OF_NOBODY, options), message);
  refused({ heartbeatIntervall: 1 }, /no option heartbeatIntervall$/);
  refused({ sessionId: "abc" }, /no option sessionId: the transport makes/);
  refused({ authProvider: {} }, /no option authProvider: give `headers`/);
  refused({ holdTimeout: "3s" }, /holdTimeout must be a number of milliseconds/);
  refused({ holdTimeout: -1 }, /holdTimeout must be/);
  refused({ backoff: { base: 1 } }, /backoff.cap must be/);
  refused({ transport: "stdio" }, /transport must be "auto", "http" or "sse"/);
  refused({ maxBodyBytes: 0 }, /maxBodyBytes must be/);
  refused({ trustAnnotations: 1 }, /trustAnnotations must be true or false/);
  refused({ fetch: "fetch" }, /fetch must be a function/);
});

test("what the engine refuses is said by start, and no value is repeated", async () => {
  await assert.rejects(new ReconnectingTransport("ftp://server/").start(), /URL|scheme|http/);
  await assert.rejects(new ReconnectingTransport("http://user:secret@server/").start(), (error) => !error.message.includes("secret"));
  const header = new ReconnectingTransport(URL_OF_NOBODY, { headers: { authorization: "Bearer s3cret\nx: y" } });
  await assert.rejects(header.start(), (error) => /authorization/i.test(error.message) && !error.message.includes("s3cret"));
});

for (const [name, args] of [
  ["connects and closes", []],
  ["closes while the server is down", ["down"]],
]) {
  test(`a program that only ${name} exits by itself`, async (t) => {
    const server = await Scripted.start();
    t.after(() => server.stop());
    const program = fileURLToPath(new URL("support/program.mjs", import.meta.url));
    const child = new Process(process.execPath, [program, server.url.href, ...args]);
    if (args.length > 0) {
      await until("it is connected", () => child.stdout.includes("connected"), STARTUP);
      await server.down();
    }
    const { code } = await within("the exit of the program", child.ended, STARTUP);
    assert.equal(code, 0, child.stderr);
    assert.match(child.stdout, /closed after \d+ ms/);
  });
}
