// A client program on the official TypeScript SDK: the arguments are the command of a stdio server. Commands come as JSON
// lines on stdin and run side by side; results go as JSON lines to stdout. SDK_FOLDER names the installed SDK.
//
//   {"tag": 1, "do": "tools"}                                       {"tag": 1, "tools": ["echo", …]}
//   {"tag": 2, "do": "call", "name": "echo", "arguments": {…}}      {"tag": 2, "text": "…"} or {"tag": 2, "code": …, "error": "…"}
//
// The first line is {"connected": {…server info}}; {"changed": "tools"} says that the server's tools changed. The rest of the
// language is in typescript_modern.mjs.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const sdk = pathToFileURL(`${process.env.SDK_FOLDER}/dist/esm/client/`);
const { Client } = await import(new URL("index.js", sdk));
const { StdioClientTransport } = await import(new URL("stdio.js", sdk));
const { StreamableHTTPClientTransport } = await import(new URL("streamableHttp.js", sdk));
const { ElicitRequestSchema, ResourceUpdatedNotificationSchema } = await import(new URL("../types.js", sdk));

const print = (result) => process.stdout.write(`${JSON.stringify(result)}\n`);

const [command, ...args] = process.argv.slice(2);
const transport = command.startsWith("http")
  ? new StreamableHTTPClientTransport(new URL(command))
  : new StdioClientTransport({ command, args, stderr: "inherit" });
// The SDK calls this only if the server declares `listChanged`, and lists the tools anew by itself.
const changed = { autoRefresh: true, debounceMs: 0, onChanged: (error) => print(error ? { failed: String(error) } : { changed: "tools" }) };
const capabilities = { elicitation: { form: {} } };
const client = new Client({ name: "typescript", version: "1" }, { capabilities, listChanged: { tools: changed } });
client.onclose = () => print({ closed: true });
client.onerror = (error) => print({ failed: String(error) });
client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => print({ updated: params.uri }));
const questions = [];
let allowed = 0;
const answerNext = () => {
  while (allowed > 0 && questions.length > 0) {
    allowed--;
    questions.shift()({ action: "accept", content: { confirm: true } });
  }
};
client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
  print({ asked: params.message });
  return new Promise((resolve) => {
    questions.push(resolve);
    answerNext();
  });
});
await client.connect(transport);
print({ connected: client.getServerVersion() });

const calls = new Map();

async function call({ tag, name, arguments: given }) {
  const abort = new AbortController();
  calls.set(tag, abort);
  const options = { timeout: 60_000, signal: abort.signal, onprogress: ({ progress }) => print({ tag, progress }) };
  try {
    const { content, isError } = await client.callTool({ name, arguments: given }, undefined, options);
    const text = content.map((part) => part.text ?? "").join("");
    print(isError ? { tag, error: text } : { tag, text });
  } catch (error) {
    if (!abort.signal.aborted) throw error;
    print({ tag, cancelled: true });
  }
}

async function run(command) {
  const { tag } = command;
  try {
    switch (command.do) {
      case "tools": {
        const { tools } = await client.listTools();
        return print({ tag, tools: tools.map((tool) => tool.name) });
      }
      case "call":
        return await call(command);
      case "cancel":
        return calls.get(command.of).abort();
      case "answer":
        allowed++;
        return answerNext();
      case "listen":
        for (const uri of command.uris) await client.subscribeResource({ uri });
        return print({ tag, listening: command.uris });
    }
  } catch (error) {
    print({ tag, code: error.code, error: error.message });
  }
}

for await (const line of createInterface({ input: process.stdin })) void run(JSON.parse(line));
await client.close();
