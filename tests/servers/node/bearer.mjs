// An MCP server on the TypeScript SDK behind the SDK's own `requireBearerAuth`. PORT is its port, SDK_FOLDER the installed SDK.
// The file TOKEN_FILE holds the one token that is accepted; it is read anew for each request. Every execution of the tool writes
// a line to stdout.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const folder = process.env.SDK_FOLDER;
const sdk = pathToFileURL(`${folder}/dist/esm/`);
const { McpServer } = await import(new URL("server/mcp.js", sdk));
const { StreamableHTTPServerTransport } = await import(new URL("server/streamableHttp.js", sdk));
const { requireBearerAuth } = await import(new URL("server/auth/middleware/bearerAuth.js", sdk));
const { InvalidTokenError } = await import(new URL("server/auth/errors.js", sdk));
const require = createRequire(`${folder}/package.json`);
const { z } = require("zod");
const express = require("express");

function mcpServer() {
  const server = new McpServer({ name: "bearer", version: "1" });
  server.registerTool("mark", { inputSchema: { mark: z.string() } }, async ({ mark }) => {
    console.log(`ran ${mark}`);
    return { content: [{ type: "text", text: mark }] };
  });
  return server;
}

const verifier = {
  async verifyAccessToken(token) {
    if (token !== readFileSync(process.env.TOKEN_FILE, "utf8").trim()) throw new InvalidTokenError("The token is not valid");
    return { token, clientId: "test", scopes: [], expiresAt: Date.now() / 1000 + 3600 };
  },
};

const sessions = new Map();
const app = express();
app.use(express.json(), requireBearerAuth({ verifier }));
app.all("/mcp", async (request, response) => {
  const id = request.headers["mcp-session-id"];
  let transport = sessions.get(id);
  if (id && !transport) {
    response.status(404).json({ jsonrpc: "2.0", error: { code: -32001, message: "Session not found" }, id: null });
    return;
  }
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => sessions.set(id, transport),
    });
    await mcpServer().connect(transport);
  }
  await transport.handleRequest(request, response, request.body);
});
app.listen(Number(process.env.PORT), "127.0.0.1");
