// The transport is one for the clients of both SDKs, without a cast, in the place of theirs.
import { Client as Client2, StreamableHTTPClientTransport as Http2, type Transport as Transport2 } from "@modelcontextprotocol/client";
import { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport as Sse1 } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport as Http1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { Transport as Transport1 } from "@modelcontextprotocol/sdk/shared/transport.js";
import { ReconnectingTransport } from "mcp-reconnect";

const url = new URL("http://127.0.0.1/mcp");
const headers = { authorization: "Bearer token" };

export const first: Transport1 = new ReconnectingTransport(url);
export const second: Transport2 = new ReconnectingTransport(url);

/** What a program replaces, and by what. */
export const transports = [
  [new Http1(url, { requestInit: { headers }, fetch }), new ReconnectingTransport(url, { requestInit: { headers }, fetch })],
  [new Sse1(url, { requestInit: { headers }, fetch }), new ReconnectingTransport(url, { requestInit: { headers }, fetch })],
  [new Http2(url, { requestInit: { headers }, fetch }), new ReconnectingTransport(url, { requestInit: { headers }, fetch })],
];

export async function connect(): Promise<void> {
  await new Client1({ name: "program", version: "1" }).connect(new ReconnectingTransport(url));
  await new Client2({ name: "program", version: "1" }).connect(new ReconnectingTransport(url));
}
