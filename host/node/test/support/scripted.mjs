// A scripted MCP server: a good one, but for what a test's hook does in its place.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";

import { freePort } from "./port.mjs";
import { until } from "./wait.mjs";

/** One HTTP request, understood, and the ways to answer it. */
class Call {
  constructor(server, request, response, body) {
    Object.assign(this, { server, request, response });
    this.message = body ? JSON.parse(body) : undefined;
    this.kind = this.message ? (this.message.method ?? "answer") : request.method;
    const url = new URL(request.url, "http://server");
    this.session = server.sse ? url.searchParams.get("session") : request.headers["mcp-session-id"];
    this.known = server.sessions.has(this.session);
    this.mark = this.message?.params?.arguments?.mark;
    this.isRequest = this.message?.method !== undefined && this.message.id !== undefined;
  }

  text(status, type, body) {
    this.response.writeHead(status, { "content-type": type }).end(body);
    return true;
  }

  json(status, body, headers = {}) {
    this.response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
    return true;
  }

  /** A message to the client, the way the transport does it. */
  respond(message, headers = {}) {
    if (!this.server.sse) return this.json(200, message, headers);
    this.text(202, "text/plain", "Accepted");
    this.server.push(this.session, message);
    return true;
  }

  result(result, headers) {
    return this.respond({ jsonrpc: "2.0", id: this.message.id, result }, headers);
  }

  error(code, message) {
    return this.respond({ jsonrpc: "2.0", id: this.message.id, error: { code, message } });
  }
}

export class Scripted {
  /** Every request: kind, message, session, headers. */
  records = [];
  sessions = new Set();
  /** The event stream of each session. */
  streams = new Map();
  sockets = new Set();
  /** How many connections there have been. */
  accepted = 0;

  /**
   * `sse`: HTTP+SSE. `stateless`: no session ids. `stream: false`: no GET stream. `on(call)` sees every request first, `gone(call)`
   * those of unknown sessions; true says that it has dealt with it.
   */
  constructor({ sse = false, stateless = false, stream = true, on = () => false, gone } = {}) {
    Object.assign(this, { sse, stateless, stream, on });
    this.gone = gone ?? ((call) => call.json(404, { jsonrpc: "2.0", id: null, error: { code: -32001, message: "Session not found" } }));
  }

  static async start(options) {
    const server = new Scripted(options);
    server.port = await freePort();
    await server.up();
    return server;
  }

  get url() {
    return new URL(`http://127.0.0.1:${this.port}/mcp`);
  }

  async up() {
    this.listener = createServer((request, response) => void this.#serve(request, response));
    this.listener.keepAliveTimeout = 0;
    this.listener.on("connection", (socket) => {
      this.accepted += 1;
      this.sockets.add(socket.setNoDelay(true));
      socket.on("close", () => this.sockets.delete(socket)).on("error", () => {});
    });
    await until(
      `port ${this.port} is free again`,
      () =>
        new Promise((resolve) => {
          this.listener.once("error", () => resolve(false));
          this.listener.listen(this.port, "127.0.0.1", () => resolve(true));
        }),
    );
  }

  /** As after `kill -9`: connections break and are refused, sessions are forgotten. */
  async down() {
    this.forget();
    const closed = new Promise((resolve) => this.listener.close(resolve));
    for (const socket of this.sockets) socket.resetAndDestroy();
    await closed;
  }

  async stop() {
    if (this.listener.listening) await this.down();
  }

  /** The connections stay, the sessions are lost. */
  forget() {
    this.sessions.clear();
  }

  of(kind) {
    return this.records.filter((record) => record.kind === kind);
  }

  /** How often the tool `run` or `hang` ran with this mark. */
  executions(mark) {
    return this.records.filter((record) => record.ran && record.mark === mark).length;
  }

  async seen(kind, times = 1) {
    await until(`${times} × ${kind} at the server`, () => this.of(kind).length >= times);
  }

  async ran(mark) {
    await until(`the tool ran with ${mark}`, () => this.executions(mark) > 0);
  }

  /** A message on a session's event stream. */
  push(session, message) {
    this.streams.get(session)?.write(`event: message\ndata: ${JSON.stringify(message)}\n\n`);
  }

  async #serve(request, response) {
    const body = await read(request);
    if (body === undefined) return;
    const call = new Call(this, request, response, body);
    const record = { kind: call.kind, message: call.message, session: call.session, headers: request.headers, mark: call.mark, ran: false };
    this.records.push(record);
    if (await this.on(call)) return;
    const needed = this.sse ? call.kind !== "GET" : !this.stateless && call.kind !== "initialize";
    if (needed && !call.known) return void this.gone(call);
    this.#good(call, record);
  }

  #good(call, record) {
    switch (call.kind) {
      case "GET":
        return this.#open(call);
      case "DELETE":
        this.sessions.delete(call.session);
        return call.text(200, "text/plain", "");
      case "initialize": {
        const headers = {};
        if (!this.sse && !this.stateless) this.sessions.add((headers["mcp-session-id"] = randomUUID()));
        const { protocolVersion } = call.message.params;
        const capabilities = { tools: { listChanged: true }, logging: {} };
        return call.result({ protocolVersion, capabilities, serverInfo: { name: "scripted", version: "1" } }, headers);
      }
      case "tools/list":
        return call.result({ tools: ["run", "hang"].map((name) => ({ name, inputSchema: { type: "object" } })) });
      case "tools/call":
        record.ran = true;
        if (call.message.params.name === "hang") return this.#accept(call);
        return call.result({ content: [{ type: "text", text: `ran ${call.mark}` }] });
      default:
        return call.isRequest ? call.result({}) : call.text(202, "text/plain", "");
    }
  }

  /** A call that never ends: over HTTP+SSE it is accepted, over Streamable HTTP nothing comes. */
  #accept(call) {
    return this.sse && call.text(202, "text/plain", "Accepted");
  }

  #open(call) {
    if (!this.stream) return call.text(405, "text/plain", "Method Not Allowed");
    call.response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    let { session } = call;
    if (this.sse) {
      session = randomUUID();
      this.sessions.add(session);
      call.response.write(`event: endpoint\ndata: /message?session=${session}\n\n`);
    } else {
      call.response.flushHeaders();
    }
    this.streams.set(session, call.response);
    call.response.on("close", () => this.streams.get(session) === call.response && this.streams.delete(session));
    return true;
  }
}

/** The body; undefined if the client went away. */
async function read(request) {
  request.setEncoding("utf8");
  let body = "";
  try {
    for await (const chunk of request) body += chunk;
  } catch {
    return undefined;
  }
  return body;
}
