// The client program of the official conformance suite's scenarios of MCP 2026-07-28: a client on the official TypeScript SDK
// 2.4. Its stdio server is the bridge that BRIDGE names, with the options BRIDGE_OPTIONS (a space between), and signs in by itself
// with BROWSER and a folder for its credentials, STATE; without BRIDGE it connects to the server itself. ERA is the SDK's negotiation (`auto` or `legacy`), SDK_FOLDER the `node_modules` that holds the SDK. It lists all there
// is, reads and gets it, and calls the tools: with what the scenario's context says, or with what their schemas ask for. The user
// accepts everything.
import { pathToFileURL } from "node:url";

const sdk = pathToFileURL(`${process.env.SDK_FOLDER}/@modelcontextprotocol/client/dist/`);
const { Client, StreamableHTTPClientTransport } = await import(new URL("index.mjs", sdk));
const { StdioClientTransport } = await import(new URL("stdio.mjs", sdk));

const url = process.argv.at(-1);
const options = (process.env.BRIDGE_OPTIONS ?? "").split(" ").filter(Boolean);
const env = { ...process.env, XDG_STATE_HOME: process.env.STATE };
const transport = process.env.BRIDGE
  ? new StdioClientTransport({ command: process.env.BRIDGE, args: [url, "--log", "debug", ...options], env, stderr: "inherit" })
  : new StreamableHTTPClientTransport(new URL(url));
const client = new Client(
  { name: "mcp-reconnect-conformance", version: "1" },
  { capabilities: { elicitation: { form: {} }, sampling: {}, roots: {} }, versionNegotiation: { mode: process.env.ERA } },
);
client.onerror = (error) => console.error("the client:", error);
client.setRequestHandler("elicitation/create", () => ({ action: "accept", content: { confirmed: true } }));
client.setRequestHandler("roots/list", () => ({ roots: [] }));

/** A value that a schema allows. */
const value = (schema, n) => ({ number: 5 + n, integer: 5 + n, boolean: true, array: [], object: {}, null: null })[schema.type] ?? "a value";
const values = (schema) =>
  Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, property], n) => [name, value(property, n)]));

await client.connect(transport);
const capabilities = client.getServerCapabilities();
const { tools } = await client.listTools();
console.log(tools.map((tool) => tool.name).join(" "));
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? "{}");
const calls = context.toolCalls ?? tools.map(({ name, inputSchema }) => ({ name, arguments: values(inputSchema) }));
const scenario = process.env.MCP_CONFORMANCE_SCENARIO;
// All at once: a server that asks the user must get each answer with its own call.
const results = await Promise.allSettled(scenario === "json-schema-ref-no-deref" ? [] : calls.map((call) => client.callTool(call)));
for (const { reason, value } of results) console.log(reason ? String(reason) : JSON.stringify(value.content));
if (capabilities.resources) {
  const { resources } = await client.listResources();
  for (const { uri } of resources) await client.readResource({ uri });
}
if (capabilities.prompts) {
  const { prompts } = await client.listPrompts();
  for (const { name } of prompts) await client.getPrompt({ name });
}
await client.close();
