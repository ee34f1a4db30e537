// One HTTP exchange over Node's own client: a fraction of the cost of `fetch`, and it can be told what was sent.
import { Agent, request as open, type AgentOptions, type ClientRequest, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex, Readable, Transform } from "node:stream";
import { constants, createBrotliDecompress, createGunzip, createInflate } from "node:zlib";

import type { Report, Start } from "../src/connection.js";
import type { sansIo } from "../src/engine.js";
import { fault, HEAD_BYTES, HEADERS, HTTP_2_ONLY, NOT_HTTP, TOO_LARGE, unreadable, unsendable, type Fault } from "../src/failure.js";
import { inTurn } from "../src/turn.js";
import { NotConnected, proxyAuthorization, unauthorized, type Connector } from "./connector.js";
import { identityFailure } from "./tls.js";
import { VERSION } from "./version.js";

/** Node.js and uvicorn hang up after 5 s without a request; one that meets the hang-up has an unknown outcome. In milliseconds. */
const IDLE = 4000;

/** Where messages go, which may be full. */
export interface Room {
  readonly full: boolean;
  /** Resolves when there is room. */
  room(): Promise<void>;
}

/**
 * Makes exchanges over connections of `connector`. Takes nothing from the server while there is no room. Unless it `decodes`, a
 * compressed body is given as it comes.
 */
export function exchanges(connector: Connector, room: Room, decodes = true): Start {
  const pool = new Pool(connector);
  return (request, report) => new HttpExchange(request, connector, pool, room, report, decodes);
}

/** Connections that are kept for a while, the last one used first. */
class Pool extends Agent {
  readonly #connector: Connector;

  constructor(connector: Connector) {
    super({ keepAlive: true, scheduling: "lifo" } satisfies AgentOptions);
    this.#connector = connector;
  }

  /** All lead to the same server. */
  override getName(): string {
    return "";
  }

  override createConnection(_options: unknown, done?: (error: Error | null, socket: Duplex) => void): undefined {
    // Node passes over the second argument of a failure.
    this.#connector.connect().then((socket) => done?.(null, socket), done as (error: Error) => void);
  }

  override keepSocketAlive(socket: Duplex): boolean {
    (socket as Socket).setTimeout(IDLE);
    return true;
  }

  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    super.reuseSocket(socket, request);
    (socket as Socket).setTimeout(0);
  }
}

/** What decodes a body that is compressed although `identity` was asked for. It gives out what it can at once, as a stream needs. */
function decoderOf(response: IncomingMessage): Transform | undefined {
  switch (response.headers["content-encoding"]?.trim().toLowerCase()) {
    case "gzip":
    case "x-gzip":
      return createGunzip({ flush: constants.Z_SYNC_FLUSH });
    case "deflate":
      return createInflate({ flush: constants.Z_SYNC_FLUSH });
    case "br":
      return createBrotliDecompress({ flush: constants.BROTLI_OPERATION_FLUSH });
    default:
      return undefined;
  }
}

class HttpExchange {
  readonly #id: bigint;
  readonly #connector: Connector;
  readonly #room: Room;
  readonly #report: Report;
  readonly #request: ClientRequest | undefined;
  readonly #decodes: boolean;
  /** The response's body, decoded. */
  #body: Readable | undefined;
  /** The engine wants no more of the body for now; the client reads nothing for now. */
  #paused = false;
  #held = false;
  #over = false;

  constructor(wanted: sansIo.Request, connector: Connector, pool: Pool, room: Room, report: Report, decodes: boolean) {
    this.#id = wanted.exchange;
    this.#connector = connector;
    this.#room = room;
    this.#report = report;
    this.#decodes = decodes;
    try {
      this.#request = this.#open(wanted, pool);
    } catch (error) {
      // Node does not take a header or the path.
      this.#failed(
        error instanceof NotConnected
          ? error.fault
          : unsendable(`the platform does not accept the request: ${(error as NodeJS.ErrnoException).code}`),
      );
    }
  }

  /** Ends it. Nothing about it is reported any more. */
  cancel(): void {
    this.#over = true;
    this.#request?.destroy();
  }

  /** Reads no more of the response's body, until it is resumed. */
  pause(): void {
    this.#paused = true;
    this.#flow();
  }

  resume(): void {
    this.#paused = false;
    this.#flow();
  }

  #flow(): void {
    if (this.#paused || this.#held) this.#body?.pause();
    else this.#body?.resume();
  }

  #open({ method, https, authority, path, headers, body }: sansIo.Request, pool: Pool): ClientRequest {
    const { proxy } = this.#connector;
    if (!this.#connector.leadsTo(https, authority))
      throw new NotConnected("unsendable", "the request leads to another server than the URL");
    const lines = ["host", authority, "user-agent", `mcp-reconnect/${VERSION}`];
    for (const [name, value] of headers) lines.push(name, value);
    const direct = proxy === undefined || https || proxy.scheme.startsWith("socks");
    if (!direct) lines.push(...proxyAuthorization(proxy));
    if (method === "post") lines.push("content-length", String(body.length));
    const request = open({
      agent: pool,
      method: method.toUpperCase(),
      path: direct ? path : `http://${authority}${path}`,
      headers: lines,
      setHost: false,
      maxHeaderSize: HEAD_BYTES,
      insecureHTTPParser: true,
    });
    request.maxHeadersCount = HEADERS + 1;
    request.on("finish", () => this.#tell({ tag: "sent", val: this.#id }));
    request.on("response", (response) => this.#read(response));
    // What nobody has asked for: the status tells.
    request.on("upgrade", (response, socket) => {
      socket.destroy();
      this.#tell({ tag: "response", val: { exchange: this.#id, status: response.statusCode ?? 0, headers: [] } });
      this.#tell({ tag: "end", val: this.#id }, true);
    });
    request.on("error", (error) => this.#failed(this.#fault(error)));
    request.end(method === "post" ? body : undefined);
    return request;
  }

  #read(response: IncomingMessage): void {
    const { proxy } = this.#connector;
    const status = response.statusCode ?? 0;
    // Where the request itself goes to a proxy.
    if (status === 407 && proxy) {
      this.#failed(unauthorized(proxy).fault);
      this.#request?.destroy();
      return;
    }
    // Node's parser is lenient here, for lines that end with LF alone; the native host takes neither of these.
    const odd = response.httpVersionMajor !== 1 || response.httpVersionMinor > 1 || response.rawHeaders.some((text) => text.includes("\0"));
    if (status < 100 || odd) return this.#unusable(`${NOT_HTTP}${this.#connector.suspicion()}`);
    if (response.rawHeaders.length > 2 * HEADERS) return this.#unusable(TOO_LARGE);
    this.#connector.answered = true;
    const decoder = this.#decodes ? decoderOf(response) : undefined;
    const headers: [string, Uint8Array][] = [];
    for (let index = 0; index < response.rawHeaders.length; index += 2) {
      const name = response.rawHeaders[index]!;
      // They describe what is no more.
      if (decoder && ["content-encoding", "content-length"].includes(name.toLowerCase())) continue;
      headers.push([name, Buffer.from(response.rawHeaders[index + 1]!, "latin1")]);
    }
    const body = decoder ? response.pipe(decoder) : response;
    this.#body = body;
    this.#tell({ tag: "response", val: { exchange: this.#id, status, headers } });
    body.on("data", (bytes: Buffer) => {
      this.#tell({ tag: "body", val: { exchange: this.#id, bytes } });
      if (this.#over) return void decoder?.destroy();
      if (!this.#room.full) return;
      this.#held = true;
      this.#flow();
      // In turns, as the connection has those read on that the engine had wait.
      void this.#room.room().then(() =>
        inTurn(() => {
          this.#held = false;
          this.#flow();
        }),
      );
    });
    body.on("end", () => this.#tell({ tag: "end", val: this.#id }, true));
    response.on("error", (error) => this.#failed(this.#fault(error)));
    response.on("close", () => {
      // What a decoder still holds comes before its own end.
      if (!decoder || !response.complete) this.#failed({ failure: "lost", detail: "the connection was closed" });
    });
    decoder?.on("error", () => {
      this.#failed({ failure: "lost", detail: `the body is not ${response.headers["content-encoding"]}, which it is said to be` });
      this.#request?.destroy();
    });
  }

  /** The answer is none. */
  #unusable(detail: string): void {
    this.#failed({ failure: "lost", detail });
    this.#request?.destroy();
  }

  /** What an error proves. */
  #fault(error: NodeJS.ErrnoException): Fault {
    if (error instanceof NotConnected) return error.fault;
    const refused = identityFailure(error, this.#connector.tls.hasIdentity);
    // The server never got to the request.
    if (refused) return { failure: "tls", detail: refused.message };
    const suspicion = this.#connector.suspicion();
    if (error.code === "HPE_HEADER_OVERFLOW") return { failure: "lost", detail: TOO_LARGE };
    const words = unreadable(error);
    if (words === HTTP_2_ONLY) return { failure: "tls", detail: words };
    if (words) return { failure: "lost", detail: words === NOT_HTTP ? `${words}${suspicion}` : words };
    return { failure: "lost", detail: `${fault(error).detail}${suspicion}` };
  }

  #failed({ failure, detail }: Fault): void {
    this.#tell({ tag: "failed", val: { exchange: this.#id, failure, detail } }, true);
  }

  #tell(input: sansIo.Input, last = false): void {
    if (this.#over) return;
    this.#over = last;
    this.#report(input);
  }
}
