// What a client can set, checked and handed to the component. What is not set keeps the component's default.
import type { Component, types } from "./engine.js";
import type { FetchLike } from "./fetch.js";

/** Headers as `fetch` takes them. */
export type HeadersLike = Headers | Iterable<readonly [string, string]> | Readonly<Record<string, string>>;

/** What can be set. Durations are milliseconds, sizes bytes. */
export interface ReconnectingTransportOptions {
  /** Which transport to speak: Streamable HTTP, HTTP+SSE, or find out. Default: `"auto"`. */
  transport?: "auto" | "http" | "sse" | undefined;
  /**
   * Headers for every request to the URL's origin, and to no other. As a function: called at the start, for each later session (as
   * soon as the old one is lost, and once a minute while the server stays away), and when the server answers 401 or 403. The new
   * session or the rejected request waits for the answer.
   */
  headers?: HeadersLike | (() => HeadersLike | Promise<HeadersLike>) | undefined;
  /** Passed to every `fetch`, as the SDKs' transports do. Its `headers` are added to the above. */
  requestInit?: RequestInit | undefined;
  /** Makes the requests instead of the runtime's own `fetch`. Its timeouts hold then, too. */
  fetch?: FetchLike | undefined;
  /** Closes the transport when it is aborted. */
  signal?: AbortSignal | undefined;
  /**
   * Ask the server with `server/discover` before `initialize`: where it speaks a version without sessions (MCP 2026-07-28 and
   * later), a client of an earlier version is translated to it, also if the server speaks the client's version too. Default: false.
   */
  discoverFirst?: boolean | undefined;
  /** Believe the server's tool annotations when deciding whether a `tools/call` may be sent again. Default: false. */
  trustAnnotations?: boolean | undefined;
  /** Tell the client of connection changes with `notifications/message` too. Default: false. */
  notifyClient?: boolean | undefined;
  /**
   * How long a request that the server rejects with 401 or 403 waits for other headers; 0: it fails at once. Where `headers` is
   * a function, a new session waits for it as long. Default: 15 s if `headers` is a function, else 0.
   */
  credentialsTimeout?: number | undefined;
  /** Silence after which a `ping` is sent; 0: never. Default: 30 s. */
  heartbeatInterval?: number | undefined;
  /**
   * How often the server is asked whether it takes connections while a stream of notifications of a version without sessions
   * (`subscriptions/listen`) is open; 0: as often as the heartbeat. Default: 1 s.
   */
  listenCheckInterval?: number | undefined;
  /** How long a `ping` may stay unanswered. Default: 10 s. */
  heartbeatTimeout?: number | undefined;
  /** An unanswered ping ends the connection even while a request is in flight. Default: false. */
  heartbeatStrict?: boolean | undefined;
  /** How long a request may wait to be sent. Default: 3 min. */
  holdTimeout?: number | undefined;
  /** How long a request that was sent may run without progress. Default: 1 h. */
  runTimeout?: number | undefined;
  /** How long a request may run in all. Default: 24 h. */
  runLimit?: number | undefined;
  /**
   * How long the response to a request that was sent in a session that has been replaced since may be silent before its outcome
   * counts as unknown. 0: as long as any request may run. Default: 5 min.
   */
  oldSessionTimeout?: number | undefined;
  /** How long the server may take to begin its answer to `initialize`, a notification, an HTTP+SSE POST. Default: 30 s. */
  responseTimeout?: number | undefined;
  /** The first and the largest step of the backoff. Default: 500 ms and 30 s. */
  backoff?: { base: number; cap: number } | undefined;
  /** Attempts to reconnect before held requests are failed; 0: no limit. Default: 0. */
  maxAttempts?: number | undefined;
  /** How long `initialize` waits for a server that is down before it gets a provisional result; 0: it gets none. Default: 20 s. */
  startTimeout?: number | undefined;
  /** The most messages, and bytes of them, held or in flight at once. Default: 1024 and 128 MiB. */
  maxQueue?: { messages: number; bytes: number } | undefined;
  /** The largest message from the client. Default: 64 MiB. */
  maxMessageBytes?: number | undefined;
  /** The largest server-sent event. Default: 16 MiB. */
  maxEventBytes?: number | undefined;
  /** The largest JSON body of a response. Default: 64 MiB. */
  maxBodyBytes?: number | undefined;
  /**
   * The most bytes of bodies and events that are being read at once. Past it the large ones wait for the oldest. Less than
   * `maxBodyBytes` or `maxEventBytes` counts as that. Default: 128 MiB.
   */
  maxTotalBodyBytes?: number | undefined;
}

/** How long to wait for a function that gives headers, unless it is said. */
const CREDENTIALS_TIMEOUT = 15_000;

type Setter = (options: types.Options, value: never, name: string) => void;

/** What is for the component, by its name. */
const SETTERS: Record<string, Setter> = {
  transport: (options, value: unknown, name) => options.setTransport(choice(value, name)),
  discoverFirst: (options, value: unknown, name) => options.setDiscoverFirst(boolean(value, name)),
  trustAnnotations: (options, value: unknown, name) => options.setTrustAnnotations(boolean(value, name)),
  notifyClient: (options, value: unknown, name) => options.setNotifyClient(boolean(value, name)),
  credentialsTimeout: (options, value: unknown, name) => options.setCredentialsTimeout(duration(value, name)),
  heartbeatInterval: (options, value: unknown, name) => options.setHeartbeatInterval(duration(value, name)),
  listenCheckInterval: (options, value: unknown, name) => options.setListenCheckInterval(duration(value, name)),
  heartbeatTimeout: (options, value: unknown, name) => options.setHeartbeatTimeout(duration(value, name)),
  heartbeatStrict: (options, value: unknown, name) => options.setHeartbeatStrict(boolean(value, name)),
  holdTimeout: (options, value: unknown, name) => options.setHoldTimeout(duration(value, name)),
  runTimeout: (options, value: unknown, name) => options.setRunTimeout(duration(value, name)),
  runLimit: (options, value: unknown, name) => options.setRunLimit(duration(value, name)),
  oldSessionTimeout: (options, value: unknown, name) => options.setOldSessionTimeout(duration(value, name)),
  responseTimeout: (options, value: unknown, name) => options.setResponseTimeout(duration(value, name)),
  backoff: (options, value: { base?: unknown; cap?: unknown } | null, name) =>
    options.setBackoff(duration(value?.base, `${name}.base`), duration(value?.cap, `${name}.cap`)),
  maxAttempts: (options, value: unknown, name) => options.setMaxAttempts(count(value, name)),
  startTimeout: (options, value: unknown, name) => options.setStartTimeout(duration(value, name)),
  maxQueue: (options, value: { messages?: unknown; bytes?: unknown } | null, name) =>
    options.setMaxQueue(count(value?.messages, `${name}.messages`), size(value?.bytes, `${name}.bytes`)),
  maxMessageBytes: (options, value: unknown, name) => options.setMaxMessageBytes(messageSize(value, name)),
  maxEventBytes: (options, value: unknown, name) => options.setMaxEventBytes(messageSize(value, name)),
  maxBodyBytes: (options, value: unknown, name) => options.setMaxBodyBytes(messageSize(value, name)),
  maxTotalBodyBytes: (options, value: unknown, name) => options.setMaxTotalBodyBytes(size(value, name)),
};

/** What the SDKs' transports take and this one does not, and what to do instead. */
const ELSEWHERE: Record<string, string> = {
  authProvider: "give `headers` as an async function that returns the Authorization header",
  eventSourceInit: "give `fetch` or `headers`, which hold for the event stream too",
  protocolVersion: "the transport negotiates it itself",
  reconnectionOptions: "see `backoff` and `maxAttempts`",
  reconnectionScheduler: "see `backoff` and `maxAttempts`",
  redirectPolicy: "redirects inside the URL's origin are followed, others are not",
  sessionId: "the transport makes, keeps and replaces sessions itself",
};

const HERE = new Set(["headers", "requestInit", "fetch", "signal", ...Object.keys(SETTERS)]);

/** @internal Throws a `TypeError` that names an option of the wrong kind, or one that does not exist. */
export function check(component: Component, url: string, given: ReconnectingTransportOptions): types.Options {
  const options = new component.Options(url);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    if (!HERE.has(name)) {
      const instead = ELSEWHERE[name];
      throw new TypeError(`mcp-reconnect has no option ${name}${instead ? `: ${instead}` : ""}`);
    }
    SETTERS[name]?.(options, value as never, name);
  }
  if (given.fetch !== undefined && typeof given.fetch !== "function") wrong("fetch", "a function");
  if (typeof given.headers === "function") {
    const patience = duration(given.credentialsTimeout ?? CREDENTIALS_TIMEOUT, "credentialsTimeout");
    options.setCredentialsTimeout(patience);
    options.setConnectHeadersTimeout(patience);
  }
  return options;
}

/** @internal Headers as the component takes them: the client's, and those of `requestInit` that are not among them. */
export function headers(first: HeadersLike | undefined, second: HeadersInit | undefined): [string, string][] {
  const own = entries(first);
  const names = new Set(own.map(([name]) => name.toLowerCase()));
  return [...own, ...entries(second as HeadersLike | undefined).filter(([name]) => !names.has(name.toLowerCase()))];
}

function entries(given: HeadersLike | undefined): [string, string][] {
  if (given === undefined || given === null) return [];
  if (typeof given !== "object") wrong("headers", "an object");
  const pairs = Symbol.iterator in given ? [...given] : Object.entries(given);
  return pairs.map(([name, value]) => [String(name), String(value)]);
}

function choice(value: unknown, name: string): types.TransportChoice {
  const choices: Record<string, types.TransportChoice> = { auto: "auto", http: "streamable-http", sse: "http-sse" };
  return choices[String(value)] ?? wrong(name, '"auto", "http" or "sse"');
}

function boolean(value: unknown, name: string): boolean {
  return typeof value === "boolean" ? value : wrong(name, "true or false");
}

/** Milliseconds as nanoseconds. More than a century is for ever. */
function duration(value: unknown, name: string): bigint {
  if (typeof value !== "number" || !(value >= 0)) wrong(name, "a number of milliseconds");
  return BigInt(Math.round(Math.min(value, 3.2e12) * 1e6));
}

function size(value: unknown, name: string): bigint {
  if (typeof value !== "number" || !(value >= 1)) wrong(name, "a number of bytes");
  return BigInt(Math.min(Math.floor(value), Number.MAX_SAFE_INTEGER));
}

/** The longest message, in bytes: it must fit into a string, with an id that may be another one's. */
const LONGEST_MESSAGE = 448 << 20;

function messageSize(value: unknown, name: string): bigint {
  const bytes = size(value, name);
  return bytes < LONGEST_MESSAGE ? bytes : BigInt(LONGEST_MESSAGE);
}

function count(value: unknown, name: string): number {
  if (typeof value !== "number" || !(value >= 0)) wrong(name, "a number");
  return Math.min(Math.floor(value), 2 ** 32 - 1);
}

function wrong(name: string, kind: string): never {
  throw new TypeError(`the option ${name} must be ${kind}`);
}
