// The client program of the official conformance suite's OAuth scenarios: the official TypeScript SDK over the bridge, which
// signs in by itself with `curl` as its browser. STATE is a folder for its credentials; the scenario's context may name a
// client that is registered already. It lists the tools and calls each.
import { pathToFileURL } from "node:url";

const sdk = pathToFileURL(`${process.env.SDK_FOLDER}/dist/esm/`);
const { Client } = await import(new URL("client/index.js", sdk));
const { StdioClientTransport } = await import(new URL("client/stdio.js", sdk));

const url = process.argv.at(-1);
const scenario = process.env.MCP_CONFORMANCE_SCENARIO;
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? "{}");
const args = [url, "--credentials-timeout", "20s", "--start-timeout", "off", "--oauth-tab-interval", "1ms", "--log", "trace"];
const env = { ...process.env, BROWSER: "curl -sL", XDG_STATE_HOME: process.env.STATE };
if (scenario.includes("cimd")) {
  args.push("--oauth-client-metadata-url", "https://conformance-test.local/client-metadata.json");
}
if (context.client_id) {
  args.push("--oauth-client-id", context.client_id);
  if (context.client_secret) {
    env.CLIENT_SECRET = context.client_secret;
    args.push("--oauth-client-secret-env", "CLIENT_SECRET");
  }
}
if (scenario.includes("client-credentials")) args.push("--oauth-grant", "client-credentials");
if (scenario.includes("2025-03-26")) args.push("--oauth", "on");

const transport = new StdioClientTransport({ command: process.env.BRIDGE, args, env, stderr: "inherit" });
const client = new Client({ name: "mcp-reconnect-conformance", version: "1" }, { capabilities: {} });
client.onerror = (error) => console.error("the client:", error);
await client.connect(transport);
const { tools } = await client.listTools();
for (const { name } of tools) {
  console.log(name, JSON.stringify(await client.callTool({ name, arguments: {} })));
}
await client.close();
