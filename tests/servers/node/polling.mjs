// A resumable MCP server on the TypeScript SDK's StreamableHTTPServerTransport, like the SDK's `ssePollingExample.js`: it ends
// response streams in the middle of a call and gives the rest on a GET with the cursor. PORT is its port, SDK_FOLDER the
// installed SDK. Every execution of a tool writes a line to stdout.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const folder = process.env.SDK_FOLDER;
const sdk = pathToFileURL(`${folder}/dist/esm/`);
const { McpServer } = await import(new URL("server/mcp.js", sdk));
const { StreamableHTTPServerTransport } = await import(new URL("server/streamableHttp.js", sdk));
const { z } = createRequire(`${folder}/package.json`)("zod");

/** The number of resumes so far, and who waits for the next. */
let resumes = 0;
let waiting = [];
const resumed = async (count) => {
  while (resumes < count) await new Promise((resolve) => waiting.push(resolve));
};

/** Like the SDK's InMemoryEventStore, in the order of storing: that one sorts what it stored within a millisecond at random. */
class EventStore {
  events = [];

  async storeEvent(streamId, message) {
    return `${this.events.push({ streamId, message }) - 1}`;
  }

  async getStreamIdForEventId(eventId) {
    return this.events[Number(eventId)]?.streamId;
  }

  async replayEventsAfter(lastEventId, { send }) {
    const { streamId } = this.events[Number(lastEventId)];
    for (const [index, event] of [...this.events.entries()].slice(Number(lastEventId) + 1)) {
      // A message of null only makes a cursor.
      if (event.streamId === streamId && event.message?.jsonrpc) await send(`${index}`, event.message);
    }
    // When the SDK has connected the resumed stream, which it does on return: from then on events go there.
    setImmediate(() => {
      resumes += 1;
      for (const wake of waiting.splice(0)) wake();
    });
    return streamId;
  }
}

function mcpServer() {
  const server = new McpServer({ name: "polling", version: "1" }, { capabilities: { logging: {} } });
  const note = (extra, data) =>
    extra.sendNotification({ method: "notifications/message", params: { level: "info", data } });

  // Ends its response stream `closes` times, the next time after the client is back; with `away` the answer is ready before the
  // client is back for the last time, else after.
  const given = { mark: z.string(), closes: z.number(), away: z.boolean() };
  server.registerTool("interrupted", { inputSchema: given }, async ({ mark, closes, away }, extra) => {
    console.log(`ran ${mark}`);
    await note(extra, `${mark}: begun`);
    for (let close = 1; close <= closes; close++) {
      const before = resumes;
      extra.closeSSEStream();
      await note(extra, `${mark}: closed ${close}`);
      if (close < closes || !away) await resumed(before + 1);
    }
    await note(extra, `${mark}: done`);
    return { content: [{ type: "text", text: `finished: ${mark}` }] };
  });

  // Its streams stay open, for cuts of the network; it ends when the client has come back `times` times.
  const awaited = { mark: z.string(), times: z.number() };
  server.registerTool("until-resumed", { inputSchema: awaited }, async ({ mark, times }, extra) => {
    console.log(`ran ${mark}`);
    for (let back = 0; back < times; back++) {
      const before = resumes;
      await note(extra, `${mark}: waits ${back}`);
      await resumed(before + 1);
    }
    await note(extra, `${mark}: done`);
    return { content: [{ type: "text", text: `finished: ${mark}` }] };
  });
  return server;
}

const sessions = new Map();
const listener = createServer(async (request, response) => {
  const id = request.headers["mcp-session-id"];
  if (id && !sessions.has(id)) {
    response.writeHead(404, { "content-type": "application/json" });
    response.end(JSON.stringify({ jsonrpc: "2.0", error: { code: -32001, message: "Session not found" }, id: null }));
    return;
  }
  let transport = sessions.get(id);
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: new EventStore(),
      retryInterval: 500,
      onsessioninitialized: (id) => sessions.set(id, transport),
    });
    transport.onclose = () => sessions.delete(transport.sessionId);
    await mcpServer().connect(transport);
  }
  await transport.handleRequest(request, response);
});
listener.listen(Number(process.env.PORT), "127.0.0.1");
