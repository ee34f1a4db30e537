// A real authorization server (oidc-provider) and an MCP server beside it, in one process, both in memory: killed, they forget
// everything. The MCP server knows one tool and one scope more than the first token has.
//
//   PORT=9000 JOURNAL=FILE OIDC_FOLDER=… node server.mjs
//
// The authorization server is at PORT, the MCP server at PORT/mcp of MCP_PORT.
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const { default: Provider } = await import(pathToFileURL(`${process.env.OIDC_FOLDER}/lib/index.js`));
const port = Number(process.env.PORT);
const mcpPort = Number(process.env.MCP_PORT);
const issuer = `http://127.0.0.1:${port}`;
const resource = `http://127.0.0.1:${mcpPort}/mcp`;
const note = (line) => appendFileSync(process.env.JOURNAL, `${line}\n`);

const provider = new Provider(issuer, {
  features: {
    registration: { enabled: true },
    deviceFlow: { enabled: true },
    devInteractions: { enabled: true },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => ({ scope: "read write", accessTokenFormat: "opaque", accessTokenTTL: 3600 }),
      useGrantedResource: () => true,
    },
  },
  scopes: ["openid", "offline_access", "read", "write"],
  pkce: { required: () => true },
  clientDefaults: { grant_types: ["authorization_code", "refresh_token"] },
  ttl: { DeviceCode: 600 },
});
provider.use(async (context, next) => {
  await next();
  note(`oauth ${context.method} ${context.path} ${context.status}`);
});
createServer(provider.callback()).listen(port, "127.0.0.1");

const challenge = (extra) =>
  `Bearer resource_metadata="http://127.0.0.1:${mcpPort}/.well-known/oauth-protected-resource/mcp"${extra}`;

createServer(async (request, response) => {
  const send = (status, body, headers = {}) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  };
  if (request.url === "/.well-known/oauth-protected-resource/mcp") {
    return send(200, { resource, authorization_servers: [issuer], scopes_supported: ["read"] });
  }
  if (request.url !== "/mcp") return send(404);
  const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
  const token = bearer && (await provider.AccessToken.find(bearer));
  if (!token || token.aud !== resource) return send(401, {}, { "www-authenticate": challenge(', scope="read"') });
  if (request.method !== "POST") return send(405);
  let text = "";
  for await (const chunk of request) text += chunk;
  const message = JSON.parse(text);
  if (message.id === undefined) return send(202);
  const answer = (result) => send(200, { jsonrpc: "2.0", id: message.id, result });
  if (message.method === "initialize") {
    return answer({
      protocolVersion: "2025-11-25",
      capabilities: { tools: {} },
      serverInfo: { name: "guarded", version: "1" },
    });
  }
  if (message.method === "tools/call") {
    const { mark, more } = message.params.arguments;
    if (more && !token.scope.split(" ").includes("write")) {
      return send(403, {}, { "www-authenticate": challenge(', error="insufficient_scope", scope="write"') });
    }
    note(`ran ${mark}`);
    return answer({ content: [{ type: "text", text: mark }] });
  }
  return answer(message.method === "ping" ? {} : { tools: [{ name: "mark", inputSchema: { type: "object" } }] });
}).listen(mcpPort, "127.0.0.1", () => console.log("ready"));
