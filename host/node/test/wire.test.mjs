// The answers of tests/cases/wire.json, byte for byte, under the command and under the transport.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { connected, GENERATIONS } from "./support/clients.mjs";
import { Command, INITIALIZE, INITIALIZED, workspace } from "./support/command.mjs";
import { Scripted } from "./support/scripted.mjs";

const cases = JSON.parse(readFileSync(join(workspace, "tests/cases/wire.json"), "utf8"));

/** As in tests/wire_cases.rs. */
function filled(pattern, body) {
  const text = pattern
    .replaceAll("{len}", body.length)
    .replaceAll("{hex}", body.length.toString(16))
    .replace("{body}", body)
    .replace(/\{x\*(\d+)\}/, (_, count) => "x".repeat(count))
    .replace(/\{headers\*(\d+)\}/, (_, count) => Array.from({ length: Number(count) }, (_, number) => `x-${number}: y\r\n`).join(""))
    .replace(/\{hints\*(\d+)\}/, (_, count) => "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n".repeat(count));
  return Buffer.from(text, "latin1");
}

async function server(t, response) {
  const server = await Scripted.start({
    stream: false,
    on(call) {
      if (call.kind !== "tools/call") return false;
      const body = JSON.stringify({ jsonrpc: "2.0", id: call.message.id, result: { content: [] } });
      call.response.socket.end(filled(response, body));
      return true;
    },
  });
  t.after(() => server.stop());
  return server;
}

for (const { name, response, node, fetch, wasmtime: _, ...all } of cases) {
  test(`the command: ${name}`, async (t) => {
    const { error, says = "" } = node ?? all;
    const { url } = await server(t, response);
    const command = new Command([String(url)]);
    t.after(() => command.kill());
    command.write(
      `${INITIALIZE}\n${INITIALIZED}\n${JSON.stringify({ jsonrpc: "2.0", id: 2, method: "tools/call", params: { name: "wire" } })}\n`,
    );
    const line = await command.stdout.next((line) => JSON.parse(line).id === 2);
    assert.equal(JSON.parse(line).error?.code, error, line.slice(0, 500));
    assert.ok(line.includes(says), line.slice(0, 500));
    command.closeStdin();
    assert.deepEqual(await command.end(), { code: 0, signal: null });
  });

  test(`the transport: ${name}`, async (t) => {
    const { error, says = "" } = fetch ?? node ?? all;
    const { url } = await server(t, response);
    const { client } = await connected(t, GENERATIONS["client 2.x"], url);
    const failure = await client.callTool({ name: "wire" }).then(
      () => undefined,
      (failure) => failure,
    );
    assert.equal(failure?.code, error, String(failure));
    assert.ok(!failure || failure.message.includes(says), String(failure));
  });
}
