// A whole program: connects, closes, and has nothing else to do. With `down` it closes when the connection is lost.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { ReconnectingTransport } from "mcp-reconnect";

const [, , url, down] = process.argv;
const transport = new ReconnectingTransport(url);
const client = new Client({ name: "program", version: "1" });
await client.connect(transport);
const lost = new Promise((resolve) => transport.addEventListener("reconnecting", resolve));
console.log("connected");
await client.ping();
if (down) await lost;
const begun = performance.now();
await client.close();
console.log(`closed after ${Math.round(performance.now() - begun)} ms`);
