// The official TypeScript SDK's transports, without a client above them: what they hand on of what a server writes. SDK_FOLDER names
// the installed SDK; cases come as JSON lines on stdin, one after the other, and what came of each goes as a line to stdout:
//
//   {"url": "http://…", "sse": false}      {"messages": […], "errors": ["…"]}
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const sdk = pathToFileURL(`${process.env.SDK_FOLDER}/dist/esm/client/`);
const { StreamableHTTPClientTransport } = await import(new URL("streamableHttp.js", sdk));
const { SSEClientTransport } = await import(new URL("sse.js", sdk));

const PATIENCE = 6_000;
const initialize = {
  protocolVersion: "2025-06-18",
  capabilities: {},
  clientInfo: { name: "transports", version: "1" },
};

async function run({ url, sse }) {
  const [messages, errors, waiting] = [[], [], new Map()];
  const transport = sse ? new SSEClientTransport(new URL(url)) : new StreamableHTTPClientTransport(new URL(url));
  transport.onerror = (error) => errors.push(String(error));
  transport.onmessage = (message) => {
    messages.push(message);
    if (!("method" in message)) waiting.get(message.id)?.();
  };
  const ask = async (id, method, params) => {
    const answered = new Promise((resolve, reject) => {
      waiting.set(id, resolve);
      setTimeout(() => reject(new Error(`no answer to ${method}`)), PATIENCE).unref();
    });
    await transport.send({ jsonrpc: "2.0", id, method, params });
    await answered;
  };
  try {
    await transport.start();
    await ask(1, "initialize", initialize);
    transport.setProtocolVersion("2025-06-18");
    await transport.send({ jsonrpc: "2.0", method: "notifications/initialized" });
    // What is written in answer to this is what the case is about. The server answers the next ones once that has been read.
    const call = { jsonrpc: "2.0", id: 2, method: "tools/call", params: { name: "x", arguments: {} } };
    await transport.send(call).catch(() => {});
    await ask(3, "tools/list", {});
    await ask(4, "tools/list", {});
  } catch (error) {
    errors.push(String(error));
  }
  await transport.close();
  return { messages, errors };
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await run(JSON.parse(line)))}\n`);
}
process.exit(0);
