// The client program of the official conformance suite: a client on the official TypeScript SDK whose stdio server is the
// bridge. The suite gives the server's URL as the last argument and the scenario's name in MCP_CONFORMANCE_SCENARIO; BRIDGE
// names the built command, SDK_FOLDER the installed SDK. It does what a user would do: connects, lists the tools, calls them.
import { pathToFileURL } from "node:url";

const sdk = pathToFileURL(`${process.env.SDK_FOLDER}/dist/esm/`);
const { Client } = await import(new URL("client/index.js", sdk));
const { StdioClientTransport } = await import(new URL("client/stdio.js", sdk));
const { ElicitRequestSchema } = await import(new URL("types.js", sdk));

// What each scenario's server offers and wants to be called with; what a scenario does not name is not called.
const calls = {
  initialize: {},
  tools_call: { add_numbers: { a: 5, b: 3 } },
  "elicitation-sep1034-client-defaults": { test_client_elicitation_defaults: {} },
  "sse-retry": { test_reconnection: {} },
};

const scenario = process.env.MCP_CONFORMANCE_SCENARIO;
const wanted = calls[scenario];
if (!wanted) throw new Error(`the scenario ${scenario} is not known to this client`);

const transport = new StdioClientTransport({
  command: process.env.BRIDGE,
  args: [process.argv.at(-1), "--log", "debug"],
  stderr: "inherit",
});
const client = new Client(
  { name: "mcp-reconnect-conformance", version: "1" },
  { capabilities: { elicitation: { form: { applyDefaults: true } } } },
);
client.onerror = (error) => console.error("the client:", error);
// The user accepts and fills in nothing: the SDK adds the schema's defaults.
client.setRequestHandler(ElicitRequestSchema, () => ({ action: "accept", content: {} }));

await client.connect(transport);
const { tools } = await client.listTools();
for (const [name, given] of Object.entries(wanted)) {
  if (!tools.some((tool) => tool.name === name)) throw new Error(`the server has no tool ${name}`);
  console.log(name, JSON.stringify(await client.callTool({ name, arguments: given })));
}
await client.close();
