// What the page does: a client that calls before, while and after the server is away. It tells the server of the page.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";

import { ReconnectingTransport } from "../../dist/esm/index.js";

const say = (text) => fetch("/say", { method: "POST", body: text });

async function main() {
  const transport = new ReconnectingTransport(new URLSearchParams(location.search).get("server"));
  const client = new Client({ name: "page", version: "1" });
  const call = async (mark) => (await client.callTool({ name: "run", arguments: { mark } })).content[0].text;
  await client.connect(transport);
  await say(await call("before"));
  const lost = new Promise((resolve) => transport.addEventListener("disconnected", resolve));
  await say("go away");
  await lost;
  const during = call("during");
  await say("come back");
  await say(await during);
  await say(await call("after"));
  const { reconnects } = transport.status();
  await client.close();
  await say(`${reconnects} reconnects`);
}

main().catch((error) => say(`failed: ${error?.stack ?? error}`));
