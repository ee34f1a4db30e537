// A client program on the official TypeScript SDK: the arguments are the command of a stdio server. Commands come as JSON
// lines on stdin and run side by side; results go as JSON lines to stdout. SDK_FOLDER names the installed SDK.
//
//   {"tag": 1, "do": "tools"}                                       {"tag": 1, "tools": ["echo", …]}
//   {"tag": 2, "do": "call", "name": "echo", "arguments": {…}}      {"tag": 2, "text": "…"} or {"tag": 2, "code": …, "error": "…"}
//
// The first line is {"connected": {…server info}}; {"changed": "tools"} says that the server's tools changed.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const sdk = pathToFileURL(`${process.env.SDK_FOLDER}/dist/esm/client/`);
const { Client } = await import(new URL("index.js", sdk));
const { StdioClientTransport } = await import(new URL("stdio.js", sdk));

const print = (result) => process.stdout.write(`${JSON.stringify(result)}\n`);

const [command, ...args] = process.argv.slice(2);
const transport = new StdioClientTransport({ command, args, stderr: "inherit" });
// The SDK calls this only if the server declares `listChanged`, and lists the tools anew by itself.
const changed = { autoRefresh: true, debounceMs: 0, onChanged: (error) => print(error ? { failed: String(error) } : { changed: "tools" }) };
const client = new Client({ name: "typescript", version: "1" }, { listChanged: { tools: changed } });
client.onclose = () => print({ closed: true });
client.onerror = (error) => print({ failed: String(error) });
await client.connect(transport);
print({ connected: client.getServerVersion() });

async function run({ tag, do: what, name, arguments: given }) {
  try {
    if (what === "tools") {
      const { tools } = await client.listTools();
      print({ tag, tools: tools.map((tool) => tool.name) });
    } else {
      const { content } = await client.callTool({ name, arguments: given }, undefined, { timeout: 60_000 });
      print({ tag, text: content.map((part) => part.text ?? "").join("") });
    }
  } catch (error) {
    print({ tag, code: error.code, error: error.message });
  }
}

for await (const line of createInterface({ input: process.stdin })) void run(JSON.parse(line));
await client.close();
