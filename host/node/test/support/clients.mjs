// The official clients of both generations, over the transport under test.
import { Client as Client2 } from "@modelcontextprotocol/client";
import { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js";
import { ReconnectingTransport } from "mcp-reconnect";

import { until } from "./wait.mjs";

export const GENERATIONS = { "sdk 1.x": Client1, "client 2.x": Client2 };

const EVENTS = [
  "connecting",
  "connected",
  "disconnected",
  "suspect",
  "reconnecting",
  "reconnected",
  "credentialsneeded",
  "replayed",
  "outcomeunknown",
  "diagnostic",
  "closed",
];

/** A transport that writes down what happens to it: `log` has the names and details of its events. */
export function recorded(url, options) {
  const transport = new ReconnectingTransport(url, options);
  const log = [];
  for (const type of EVENTS) transport.addEventListener(type, ({ detail }) => log.push({ type, detail }));
  return { transport, log };
}

/** A connected client. It is closed when the test ends. */
export async function connected(test, Client, url, options) {
  const { transport, log } = recorded(url, options);
  const client = new Client({ name: "test", version: "1" });
  const errors = [];
  let closes = 0;
  client.onerror = (error) => errors.push(error);
  client.onclose = () => (closes += 1);
  await client.connect(transport);
  test.after(() => client.close());
  // The client does not wait until the server has its `notifications/initialized`.
  await until("the session", () => log.some(({ type }) => type === "connected"));
  return { client, transport, log, errors, closes: () => closes };
}

/** The text of a tool's result. */
export async function text(result) {
  const { content } = await result;
  return content.map((part) => part.text ?? "").join("");
}
