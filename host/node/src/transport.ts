// `Transport` of the official SDKs, over a connection that lives through restarts of the server.
import { Connection } from "./connection.js";
import { component, type Component, type types } from "./engine.js";
import { Exchange } from "./exchange.js";
import { named, status, type NamedEvent, type Status, type TransportEvents } from "./events.js";
import { given, runtime } from "./fetch.js";
import { check, headers, type HeadersLike, type ReconnectingTransportOptions } from "./options.js";

/** The types of `ReconnectingTransport`'s events. */
export type TransportEventMap = { [Name in keyof TransportEvents]: CustomEvent<TransportEvents[Name]> };

/**
 * An MCP client transport that survives restarts of its server: every request gets exactly one answer, nothing that may have
 * run is silently run again, and nothing waits for ever.
 *
 * It fits `Client.connect` of `@modelcontextprotocol/sdk` 1.x and of `@modelcontextprotocol/client` 2.x in the place of
 * `StreamableHTTPClientTransport` and `SSEClientTransport`. Like them it connects once: after `close` make a new one.
 */
export class ReconnectingTransport extends EventTarget {
  /** Called once, when the transport is closed: by `close`, or by the signal. Never because of the server. */
  onclose?: (() => void) | undefined;
  /** Called for errors that belong to no request: a handler or the `headers` function threw. */
  onerror?: ((error: Error) => void) | undefined;
  /** Called for each message, in order. */
  // biome-ignore lint/suspicious/noExplicitAny: each SDK has a type of its own for messages
  onmessage?: ((message: any, extra?: any) => void) | undefined;
  /**
   * Always undefined: the SDK's client takes a session id for a session that it need not begin, and the transport changes
   * sessions by itself. `status().session` tells about the current one.
   */
  readonly sessionId: undefined;

  readonly #component: Component;
  readonly #url: string;
  readonly #given: ReconnectingTransportOptions;
  #started = false;
  #connection: Connection | undefined;
  /** Headers that were set before the start. */
  #early: HeadersLike | undefined;
  /** How often the client was asked for headers after the start. */
  #questions = 0;
  /** Those that it gave last. */
  #headersInUse: HeadersLike | undefined;
  #closing: Promise<void> | undefined;
  #done!: () => void;
  #last: Status | undefined;
  readonly #abort = () => void this.close();

  /** Does no I/O. Throws a `TypeError` for options that are wrong; what is wrong with a URL or a header says `start`. */
  constructor(url: URL | string, options: ReconnectingTransportOptions = {}) {
    super();
    this.#component = component();
    this.#url = String(url);
    check(this.#component, this.#url, options);
    this.#given = options;
  }

  /**
   * Opens the connection; the SDK's client calls it. The first contact is made by the first message. Rejects if the URL or a
   * header is not allowed, if the `headers` function fails, and when called twice.
   */
  async start(): Promise<void> {
    if (this.#started) throw new Error("the transport was started before: a connection takes a new ReconnectingTransport");
    if (this.#closing) throw new Error("the transport is closed");
    this.#started = true;
    const { signal, fetch, requestInit } = this.#given;
    signal?.throwIfAborted();
    signal?.addEventListener("abort", this.#abort, { once: true });
    try {
      const source = this.#early ?? (await this.#headers());
      // It may have been closed meanwhile.
      if (this.#closing) throw new Error("the transport is closed");
      this.#headersInUse = this.#early ?? source;
      const first = headers(this.#headersInUse, requestInit?.headers);
      const options = (component: Component) => {
        const made = check(component, this.#url, this.#given);
        made.setHeaders(first);
        return made;
      };
      const { headers: _, signal: __, ...init } = requestInit ?? {};
      const listener = { event: this.#on.bind(this), closed: this.#closed.bind(this) };
      const send = fetch ? given(fetch) : runtime;
      this.#connection = new Connection(this.#component, options, (request, report) => new Exchange(request, send, init, report), listener);
      // Those that the function gave just now are good for the first session.
      if (typeof this.#given.headers === "function") this.setHeaders(this.#headersInUse ?? {});
    } catch (error) {
      signal?.removeEventListener("abort", this.#abort);
      throw error;
    }
  }

  /**
   * Takes a message and returns: what becomes of a request its answer tells. Rejects before `start` and after `close`. The SDK's
   * options for messages are passed over: resuming is done without them.
   */
  async send(message: object, _options?: object): Promise<void> {
    this.#open().handle({ tag: "message", val: JSON.stringify(message) });
  }

  /** Ends what is in flight, takes leave of the server and closes, within a second. */
  close(): Promise<void> {
    if (this.#closing) return this.#closing;
    this.#closing = new Promise((resolve) => (this.#done = resolve));
    if (this.#connection) this.#connection.handle({ tag: "close" });
    else this.#closed();
    return this.#closing;
  }

  /** Fresh credentials: replaces the headers from the next request on. The session is kept. Throws for an invalid header. */
  setHeaders(fresh: HeadersLike): void {
    if (this.#connection) {
      this.#connection.handle({ tag: "set-headers", val: headers(fresh, this.#given.requestInit?.headers) });
      this.#headersInUse = fresh;
    } else {
      this.#early = fresh;
    }
  }

  /** Begins a new session now. */
  reconnect(): void {
    this.#open().handle({ tag: "reconnect" });
  }

  /** Finds out now whether the connection is alive: the machine woke up, or its network changed. */
  probe(): void {
    this.#open().handle({ tag: "probe" });
  }

  /** A snapshot. */
  status(): Status {
    return this.#last ?? (this.#connection ? status(this.#connection.status()) : { ...UNSTARTED });
  }

  /** Part of the SDKs' interface. The transport has read the version itself. */
  setProtocolVersion(_version: string): void {}

  override addEventListener<Name extends keyof TransportEvents>(
    type: Name,
    listener: ((event: TransportEventMap[Name]) => void) | { handleEvent(event: TransportEventMap[Name]): void } | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    super.addEventListener(type, listener as EventListener, options);
  }

  override removeEventListener<Name extends keyof TransportEvents>(
    type: Name,
    listener: ((event: TransportEventMap[Name]) => void) | { handleEvent(event: TransportEventMap[Name]): void } | null,
    options?: boolean | EventListenerOptions,
  ): void {
    super.removeEventListener(type, listener as EventListener, options);
  }

  #open(): Connection {
    if (this.#closing) throw new Error("the transport is closed");
    if (!this.#connection) throw new Error("the transport is not started");
    return this.#connection;
  }

  #on(event: types.Event): void {
    if (event.tag === "message") {
      this.#guard(() => this.onmessage?.(JSON.parse(event.val)));
      return;
    }
    if (event.tag === "headers-needed") {
      void this.#refresh();
      return;
    }
    const known = named(event);
    if (known) this.#emit(known);
  }

  #emit([type, detail]: NamedEvent): void {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #closed(error?: Error): void {
    this.#closing ??= new Promise((resolve) => (this.#done = resolve));
    this.#last = { ...(error ? UNSTARTED : this.status()), state: "closed" };
    this.#connection = undefined;
    this.#given.signal?.removeEventListener("abort", this.#abort);
    if (error) this.#complain(error);
    this.#emit(["closed", null]);
    this.#guard(() => this.onclose?.());
    this.#done();
  }

  async #headers(): Promise<HeadersLike | undefined> {
    const { headers } = this.#given;
    return typeof headers === "function" ? await headers() : headers;
  }

  /**
   * Asks the client for headers, and tells the engine in any case, which waits for them. The last question counts: an earlier one
   * may never be answered.
   */
  async #refresh(): Promise<void> {
    const question = ++this.#questions;
    let fresh: HeadersLike | undefined;
    try {
      fresh = await this.#headers();
    } catch (error) {
      this.#complain(error);
    }
    if (question !== this.#questions || this.#closing) return;
    try {
      this.setHeaders(fresh ?? this.#headersInUse ?? {});
    } catch (error) {
      this.#complain(error);
      this.setHeaders(this.#headersInUse ?? {});
    }
  }

  /** A handler's fault must not become one of the connection. */
  #guard(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.#complain(error);
    }
  }

  #complain(error: unknown): void {
    try {
      this.onerror?.(error instanceof Error ? error : new Error(String(error)));
    } catch {
      // Who throws here has been told already.
    }
  }
}

const UNSTARTED: Status = {
  state: "idle",
  session: undefined,
  sessionAge: 0,
  queued: 0,
  inFlight: 0,
  reconnects: 0,
  replays: 0,
  lastError: "",
};
