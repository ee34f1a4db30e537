// Every spelling of "your session is gone" leads to a new session, and to the request being sent again.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { connected, GENERATIONS, text } from "./support/clients.mjs";
import { Scripted } from "./support/scripted.mjs";

const error =
  (status, code, message, id = null) =>
  (call) =>
    call.json(status, { jsonrpc: "2.0", error: { code, message }, id });
const plain = (status, type, body) => (call) => call.text(status, type, body);
const inAnswer = (code, message) => (call) =>
  call.isRequest ? call.json(200, { jsonrpc: "2.0", id: call.message.id, error: { code, message } }) : call.text(404, "text/plain", "");

const HTTP = {
  "server-everything": error(400, -32000, "Bad Request: No valid session ID provided"),
  "TypeScript examples": error(404, -32001, "Session not found"),
  "TypeScript, a fresh transport": error(400, -32000, "Bad Request: Server not initialized"),
  "Python 1": error(404, -32600, "Session not found", "server-error"),
  "Python 2": error(404, -32600, "Session not found"),
  rmcp: (call) => call.text(call.kind === "DELETE" ? 202 : 404, "text/plain", "Not Found: Session not found"),
  Go: plain(404, "text/plain; charset=utf-8", "session not found\n"),
  "404 without a body": plain(404, "text/plain", ""),
  "200 with an error": inAnswer(-32600, "Session not found"),
  "200 with an error of its own": inAnswer(-32004, "Unknown session"),
};

const SSE = {
  Python: plain(404, "text/plain", "Could not find session"),
  "TypeScript examples": plain(404, "text/plain", "Session not found"),
  "TypeScript, another transport": error(400, -32000, "Bad Request: Session exists but uses a different transport protocol"),
  supergateway: plain(503, "text/html", "<pre>No active SSE connection for session</pre>"),
  "mcp-proxy": plain(400, "text/plain", "No active transport"),
  "404 without a body": plain(404, "text/plain", ""),
};

describe("lost sessions", { concurrency: 8 }, () => {
  for (const [sse, spellings] of [
    [false, HTTP],
    [true, SSE],
  ]) {
    for (const [server, gone] of Object.entries(spellings)) {
      for (const [generation, Client] of Object.entries(GENERATIONS)) {
        test(`${sse ? "HTTP+SSE" : "Streamable HTTP"}, ${server}, ${generation}`, async (t) => {
          const server = await Scripted.start({ sse, gone });
          t.after(() => server.stop());
          const { client } = await connected(t, Client, server.url, { transport: sse ? "sse" : "http" });
          // Twice, so that nothing latches.
          for (const [round, mark] of ["first", "second"].entries()) {
            server.forget();
            assert.equal(await text(client.callTool({ name: "run", arguments: { mark } })), `ran ${mark}`);
            assert.equal(server.executions(mark), 1);
            assert.equal(server.of("initialize").length, round + 2);
            assert.equal(server.of("notifications/initialized").length, round + 2);
          }
        });
      }
    }
  }
});
