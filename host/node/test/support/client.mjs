// A client that any runtime can run, without a permission but that for the server: connects, calls, is told when to call again.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { ReconnectingTransport } from "mcp-reconnect";

const [url] = globalThis.Deno?.args ?? globalThis.process.argv.slice(2);
const transport = new ReconnectingTransport(url);
const client = new Client({ name: "client", version: "1" });
const call = async (mark) => {
  const { content } = await client.callTool({ name: "run", arguments: { mark } });
  console.log(content[0].text);
};
await client.connect(transport);
await call("before");
// The server goes away when it has seen this, and comes back later.
const away = new Promise((resolve) => transport.addEventListener("disconnected", resolve));
await call("go away");
await away;
await call("after");
console.log(`${transport.status().reconnects} reconnects`);
await client.close();
