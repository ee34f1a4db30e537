// A client program on the official TypeScript SDK 2.4: the arguments are the command of a stdio server, or the URL of a server
// to which it connects itself. ERA says how it finds the era of the server: `legacy`, `auto`, or `pin` (2026-07-28 or nothing).
// Commands come as JSON lines on stdin and run side by side; results go as JSON lines to stdout. SDK_FOLDER is the
// `node_modules` that holds the SDK. In addition to what typescript.mjs says:
//
//   {"tag": 1, "do": "listen", "uris": ["memo://note"]}   {"tag": 1, "listening": [what the server honoured]}
//   {"tag": 2, "do": "cancel", "of": 1}                   {"tag": 1, "cancelled": true}
//   {"tag": 3, "do": "answer"}                            the user says yes to what {"asked": "…"} stands for
//
// {"updated": "memo://note"} says that a resource changed, {"tag": 1, "progress": 2} how far a call is, and {"ended": "…"} that
// a subscription ended that nobody has ended. {"refused": …} in the place of the first line: it could not connect.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const sdk = pathToFileURL(`${process.env.SDK_FOLDER}/@modelcontextprotocol/client/dist/`);
const { Client, StreamableHTTPClientTransport } = await import(new URL("index.mjs", sdk));
const { StdioClientTransport } = await import(new URL("stdio.mjs", sdk));

const print = (result) => process.stdout.write(`${JSON.stringify(result)}\n`);

const [command, ...args] = process.argv.slice(2);
const transport = command.startsWith("http")
  ? new StreamableHTTPClientTransport(new URL(command))
  : new StdioClientTransport({ command, args, stderr: "inherit" });
const mode = process.env.ERA === "pin" ? { pin: "2026-07-28" } : process.env.ERA;
const client = new Client(
  { name: "typescript-modern", version: "1" },
  { capabilities: { elicitation: { form: {} } }, versionNegotiation: { mode } },
);
client.onclose = () => print({ closed: true });
client.onerror = (error) => print({ failed: String(error) });
client.setNotificationHandler("notifications/tools/list_changed", () => print({ changed: "tools" }));
client.setNotificationHandler("notifications/resources/updated", ({ params }) => print({ updated: params.uri }));
const questions = [];
let allowed = 0;
const answerNext = () => {
  while (allowed > 0 && questions.length > 0) {
    allowed--;
    questions.shift()({ action: "accept", content: { confirm: true } });
  }
};
client.setRequestHandler("elicitation/create", ({ params }) => {
  print({ asked: params.message });
  return new Promise((resolve) => {
    questions.push(resolve);
    answerNext();
  });
});
try {
  await client.connect(transport);
} catch (error) {
  print({ refused: error.message, code: error.code ?? null, cause: error.cause?.message ?? null, data: error.data ?? null });
  process.exit(0);
}
const version = client.getNegotiatedProtocolVersion();
print({ connected: { ...client.getServerVersion(), protocol: version } });

const calls = new Map();

async function listen({ tag, uris }) {
  if (version < "2026-07-28") {
    for (const uri of uris) await client.subscribeResource({ uri });
    print({ tag, listening: uris });
    return;
  }
  const subscription = await client.listen({ toolsListChanged: true, resourceSubscriptions: uris });
  void subscription.closed.then((how) => how === "local" || print({ ended: how }));
  print({ tag, listening: subscription.honoredFilter.resourceSubscriptions ?? [] });
}

async function call({ tag, name, arguments: given }) {
  const abort = new AbortController();
  calls.set(tag, abort);
  const onprogress = ({ progress }) => print({ tag, progress });
  try {
    const { content, isError } = await client.callTool({ name, arguments: given }, { timeout: 60_000, signal: abort.signal, onprogress });
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
        const { tools } = await client.listTools(undefined, { cacheMode: "refresh" });
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
        return await listen(command);
    }
  } catch (error) {
    print({ tag, code: error.code, error: error.message });
  }
}

for await (const line of createInterface({ input: process.stdin })) void run(JSON.parse(line));
await client.close();
