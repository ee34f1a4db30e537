// A real server of the TypeScript SDK 2.4, which speaks MCP 2026-07-28, for tests/modern.rs:
//
//   node server.mjs --port 9000 --journal FILE [--legacy reject] [--header Region] [--key SECRET] [--token FILE]
//
// Without `--legacy reject` it speaks the versions before too, without sessions. `--header` has the tool `route` mirror its
// argument `region` in the header Mcp-Param-<name>. Request states are signed with `--key`, or with a key of this process.
// With `--token` a request without the bearer token that stands in this file then is answered 401.
// What could do harm appends a line to the journal. SDK_FOLDER is the `node_modules` that holds the SDK.
import { randomBytes } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { setTimeout } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const sdk = pathToFileURL(`${process.env.SDK_FOLDER}/@modelcontextprotocol/`);
const { McpServer, acceptedContent, createMcpHandler, createRequestStateCodec, fromJsonSchema, inputRequired } = await import(
  new URL("server/dist/index.mjs", sdk)
);
const { toNodeHandler } = await import(new URL("node/dist/index.mjs", sdk));

const { values: options } = parseArgs({
  options: {
    port: { type: "string" },
    journal: { type: "string" },
    legacy: { type: "string", default: "stateless" },
    header: { type: "string" },
    key: { type: "string", default: randomBytes(32).toString("hex") },
    token: { type: "string" },
  },
});

const note = (line) => appendFileSync(options.journal, `${line}\n`);
const text = (text) => ({ content: [{ type: "text", text }] });
const string = { type: "string" };
const number = { type: "number" };
const object = (properties) =>
  fromJsonSchema({ type: "object", properties, required: Object.keys(properties), additionalProperties: false });
const answer = { type: "object", properties: { confirm: { type: "boolean" } }, required: ["confirm"] };

const codec = createRequestStateCodec({ key: options.key });
/** Tools that `add_tool` made. The SDK makes a server for each request. */
const added = new Set();

function factory() {
  const server = new McpServer(
    { name: "typescript-modern", version: "1" },
    {
      capabilities: { tools: { listChanged: true }, resources: { listChanged: true, subscribe: true }, prompts: {}, logging: {} },
      requestState: { verify: codec.verify },
    },
  );
  const tool = (name, inputSchema, run, more) => server.registerTool(name, { inputSchema, ...more }, run);

  tool("echo", object({ text: string }), ({ text: said }) => text(`Echo: ${said}`));
  tool("append", object({ mark: string }), ({ mark }) => {
    note(`append ${mark}`);
    return text(`appended: ${mark}`);
  });
  tool("slow", object({ seconds: number, mark: string }), async ({ seconds, mark }, context) => {
    note(`slow ${mark}`);
    await setTimeout(seconds * 1000, undefined, { signal: context.mcpReq.signal }).catch(() => note(`cancelled ${mark}`));
    return text(`slept: ${mark}`);
  });
  // It ends when the file `until` is there: a client's SDK may lose what comes in one piece with the answer.
  tool("progress", object({ steps: number, until: string }), async ({ steps, until }, context) => {
    const progressToken = context.mcpReq._meta?.progressToken;
    for (let progress = 1; progressToken !== undefined && progress <= steps; progress++) {
      await context.mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress, total: steps } });
    }
    while (!existsSync(until) && !context.mcpReq.signal.aborted) await setTimeout(5);
    return text(`steps: ${steps}`);
  });
  tool("confirm", object({ mark: string }), async ({ mark }, context) => {
    const answered = acceptedContent(context.mcpReq.inputResponses, "confirm");
    if (answered?.confirm !== true) {
      note(`asked ${mark}`);
      const inputRequests = { confirm: inputRequired.elicit({ message: `Really ${mark}?`, requestedSchema: answer }) };
      return inputRequired({ inputRequests, requestState: await codec.mint({ mark }, context) });
    }
    note(`confirmed ${mark}`);
    return text(`confirmed: ${context.mcpReq.requestState()?.mark}`);
  });
  const region = options.header ? { ...string, "x-mcp-header": options.header } : string;
  tool("route", object({ region, mark: string }), ({ region: to, mark }) => {
    note(`route ${mark}`);
    return text(`routed to ${to}`);
  });
  tool("add_tool", object({ name: string }), ({ name }) => {
    added.add(name);
    handler.notify.toolsChanged();
    return text(`added: ${name}`);
  });
  tool("touch", object({ uri: string }), ({ uri }) => {
    handler.notify.resourceUpdated(uri);
    return text("touched");
  });
  for (const name of added) tool(name, object({}), () => text(name));
  server.registerResource("note", "memo://note", {}, (uri) => ({ contents: [{ uri: uri.href, text: "a note" }] }));
  return server;
}

const handler = createMcpHandler(factory, { legacy: options.legacy, onerror: (error) => console.error(String(error)) });
const handle = toNodeHandler(handler);
const guarded = (request, response) => {
  const isWelcome = !options.token || request.headers.authorization === `Bearer ${readFileSync(options.token, "utf8")}`;
  if (isWelcome) return handle(request, response);
  note(`401 ${request.method}`);
  response.writeHead(401, { "WWW-Authenticate": 'Bearer error="invalid_token"' }).end();
};
createServer(guarded).listen(Number(options.port), "127.0.0.1");
