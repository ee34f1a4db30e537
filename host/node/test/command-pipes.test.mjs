// The package's command and its pipes: clients that do not read, that go away, and what only the native command can do.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Command, INITIALIZE, INITIALIZED } from "./support/command.mjs";
import { Scripted } from "./support/scripted.mjs";
import { until } from "./support/wait.mjs";

/** More than all buffers on the way together. */
const MESSAGES = 6000;
const PADDING = "x".repeat(16 << 10);

/** A session with an event stream, and a client that has not yet read anything but the answer to `initialize`. */
async function connected(t, args = []) {
  const server = await Scripted.start();
  t.after(() => server.stop());
  const command = new Command([...args, String(server.url)]);
  t.after(() => command.kill());
  command.write(`${INITIALIZE}\n`);
  await command.stdout.next((line) => line.includes('"result"'));
  command.write(`${INITIALIZED}\n`);
  await until("the event stream", () => server.streams.size > 0);
  const [stream] = server.streams.values();
  return { server, command, stream };
}

/** Sends messages as fast as they are taken, until all are sent; resolves when no more are taken. */
async function flood(command, stream) {
  command.child.stdout.pause();
  let sent = 0;
  const more = () => {
    while (sent < MESSAGES && !stream.writableNeedDrain && !stream.destroyed) {
      const params = { level: "info", data: { number: sent++, padding: PADDING } };
      stream.write(`data: ${JSON.stringify({ jsonrpc: "2.0", method: "notifications/message", params })}\n\n`);
    }
  };
  stream.on("drain", more);
  more();
  let last = -1;
  let still = 0;
  await until("the server can send no more", () => {
    still = sent === last ? still + 1 : 0;
    last = sent;
    return still > 100;
  });
  return () => sent;
}

test("calls in a row go over one connection, and stderr stays silent", async (t) => {
  const { server, command } = await connected(t);
  for (let id = 2; id < 40; id++) {
    command.write(`${JSON.stringify({ jsonrpc: "2.0", id, method: "tools/call", params: { name: "run", arguments: { mark: id } } })}\n`);
    await command.stdout.next((line) => JSON.parse(line).id === id);
  }
  // The event stream's, and one more for what was sent while the stream was opened.
  assert.ok(server.accepted <= 3, `${server.accepted} connections`);
  command.closeStdin();
  assert.deepEqual(await command.end(), { code: 0, signal: null });
  assert.equal(command.stderr.lines.length, 1, command.stderr.text);
});

test("messages of all sizes and scripts come whole, and in order", async (t) => {
  const { command, stream } = await connected(t);
  const sizes = [1, 70_000, 2, 65_400, 65_535, 65_536, 3, 300_000, 4, 5, 3_000_000, 6];
  const sent = sizes.map((size, number) => ({ number, text: "x\u00e9\u6f22\u{1f980}".repeat(size).slice(0, size).toWellFormed() }));
  for (const data of sent)
    stream.write(`data: ${JSON.stringify({ jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data } })}\n\n`);
  for (const data of sent) assert.deepEqual(JSON.parse(await command.stdout.next(() => true)).params.data, data);
});

test("a client that does not read holds up the server, and gets everything in order when it does", async (t) => {
  const { command, stream } = await connected(t);
  const sent = await flood(command, stream);
  assert.ok(sent() < MESSAGES, "the server could send all: something holds it in memory");
  command.child.stdout.resume();
  for (let number = 0; number < MESSAGES; number++) {
    const message = JSON.parse(await command.stdout.next(() => true));
    assert.equal(message.params.data.number, number);
  }
  assert.equal(command.stderr.lines.length, 1, command.stderr.text);
  command.closeStdin();
  assert.deepEqual(await command.end(), { code: 0, signal: null });
});

for (const [how, end] of Object.entries({
  SIGTERM: (command) => command.signal("SIGTERM"),
  "the end of stdin": (command) => command.closeStdin(),
})) {
  test(`${how} ends it while nobody reads`, async (t) => {
    const { command, stream } = await connected(t);
    await flood(command, stream);
    const begun = performance.now();
    end(command);
    await until("it has ended", () => command.child.exitCode !== null || command.child.signalCode !== null);
    assert.ok(performance.now() - begun < 2000);
    assert.equal(command.child.exitCode, 0);
    command.child.stdout.resume();
    await command.end();
  });
}

test("a client that closes stdout ends it", async (t) => {
  const { command } = await connected(t);
  command.closeStdout();
  command.write('{"jsonrpc":"2.0","id":2,"method":"ping"}\n');
  assert.deepEqual(await command.end(), { code: 0, signal: null });
});

test("a client that does not read stderr stops nothing, and is told what it missed", async (t) => {
  const { command } = await connected(t, ["--max-message-bytes", "256"]);
  command.child.stderr.pause();
  const times = 4000;
  for (let id = 10; id < times + 10; id++)
    command.write(`{"jsonrpc":"2.0","id":${id},"method":"ping","params":{"pad":"${"x".repeat(256)}"}}\n`);
  for (let id = 10; id < times + 10; id++) await command.stdout.next((line) => line.includes(`"id":${id},"error":{"code":-31005`));
  command.child.stderr.resume();
  await command.stderr.next((line) => /^mcp-reconnect: \d+ lines of this log were dropped/.test(line));
  command.closeStdin();
  assert.deepEqual(await command.end(), { code: 0, signal: null });
});

test("a second signal does not wait for the goodbye", async (t) => {
  const { server, command } = await connected(t);
  // The goodbye is not answered.
  server.on = (call) => call.kind === "DELETE";
  command.signal("SIGINT");
  await server.seen("DELETE");
  command.signal("SIGTERM");
  assert.deepEqual(await command.end(), { code: 130, signal: null });
});

test("--notify-client tells the client what happens", async (t) => {
  const { server, command } = await connected(t, ["--notify-client"]);
  await server.down();
  await command.stderr.next((line) => line.includes("trying again"));
  await server.up();
  await command.stderr.next((line) => line.includes("reconnected"));
  const told = JSON.parse(await command.stdout.next((line) => line.includes("notifications/message")));
  assert.equal(told.params.logger, "mcp-reconnect");
});

test("the native command's own commands are refused, with what to do instead", async (t) => {
  for (const word of ["demo", "wrap", "unwrap", "status", "login", "logout", "man", "completions"]) {
    const command = new Command([word, "http://example.test/mcp"]);
    t.after(() => command.kill());
    const { code } = await command.end();
    assert.equal(code, 2, word);
    assert.equal(command.stdout.text, "");
    assert.equal(command.stderr.lines.length, 1, command.stderr.text);
    assert.match(command.stderr.text, new RegExp(`${word} is a part of the native command; install that`));
    assert.ok(command.stderr.text.includes(`@mcp-reconnect/${process.platform}-${process.arch}`), command.stderr.text);
  }
});

test("there is no configuration file, and the help says so", async (t) => {
  const refused = new Command(["--config", "options.toml", "http://example.test/mcp"]);
  t.after(() => refused.kill());
  assert.equal((await refused.end()).code, 2);
  assert.match(refused.stderr.text, /'--config' found; the native command alone reads a configuration file/);
  const help = new Command(["help"]);
  t.after(() => help.kill());
  assert.equal((await help.end()).code, 0);
  assert.match(help.stdout.text, /The native one[\s\S]*reads a\s+configuration file/);
});
