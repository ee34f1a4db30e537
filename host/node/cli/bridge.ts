// stdin and stdout on one side, the connection on the other.
import { Connection, type Listener, type Start } from "../src/connection.js";
import { component, refusal, type Component, type types } from "../src/engine.js";
import { check } from "../src/options.js";
import { shownUrl, type BridgeArgs, type Way } from "./args.js";
import { Connector } from "./connector.js";
import { Credentials } from "./credentials.js";
import { Refused } from "./duration.js";
import { exchanges } from "./exchange.js";
import type { Lookup } from "./expand.js";
import { HeaderSources } from "./header-sources.js";
import { originOf } from "./hook-event.js";
import { Hooks } from "./hooks.js";
import { Input } from "./input.js";
import type { Line } from "./lines.js";
import { log } from "./log.js";
import { EventLog, statusLine } from "./event-log.js";
import { Output } from "./output.js";
import { findProxy } from "./proxy.js";
import { onSignal, type Wish } from "./signals.js";
import { watchSleep } from "./sleep.js";
import { Tls } from "./tls.js";

/** The end takes no longer than this, whatever the server and the client do. The engine's own goodbye is shorter. */
const GOODBYE = 900;
/** Hooks that have not run by then are not run. */
const LAST_HOOKS = 400;
/** What the bridge itself may need beside the time of the header file and command. */
const MARGIN = 1000;

/** A shell's exit code for a process that SIGINT ended: a second signal does not wait for the goodbye. */
const INTERRUPTED = 130;

/** Bridges until the client closes stdin or stdout, or a signal asks to end. Gives the exit code. Rejects with `Refused`. */
export async function run(args: BridgeArgs, lookup: Lookup): Promise<number> {
  const engine = component();
  const url = shownUrl(args.url);
  const sources = new HeaderSources(args.headers, url, lookup, (headers) => probe(engine, headers));
  const connector = connectorOf(args, lookup);
  await sources.open();
  return new Promise((resolve, reject) => {
    try {
      new Bridge(args, lookup, engine, sources, connector, resolve);
    } catch (error) {
      reject(error);
    }
  });
}

/** Throws `Refused` if the engine would not take these headers. */
export function probe(engine: Component, headers: [string, string][]): void {
  const options = new engine.Options("http://localhost/");
  options.setHeaders(headers);
  try {
    engine.Engine.open(options, 0n, 0n);
  } catch (error) {
    const refused = refusal(error);
    throw refused ? new Refused(refused.message) : error;
  }
}

/** The way to the server. Undefined for a URL that is none, about which the engine will complain. */
export function connectorOf(args: Way, lookup: Lookup): Connector | undefined {
  const tls = new Tls(args.tls, lookup);
  if (!URL.canParse(args.url)) return undefined;
  const url = new URL(args.url);
  return new Connector(url, findProxy(args.proxy, url, lookup), tls, args.addresses);
}

class Bridge {
  readonly #exit: (code: number) => void;
  readonly #output = new Output(process.stdout);
  readonly #eventLog: EventLog;
  readonly #hooks: Hooks | undefined;
  readonly #sources: HeaderSources;
  readonly #credentials: Credentials;
  readonly #connection: Connection;
  readonly #input: Input;
  readonly #awake: () => void;
  #ending = false;
  /** Resolves when the hooks have heard what there was to hear. */
  #told: Promise<void> = Promise.resolve();

  constructor(
    args: BridgeArgs,
    lookup: Lookup,
    engine: Component,
    sources: HeaderSources,
    connector: Connector | undefined,
    exit: (code: number) => void,
  ) {
    this.#exit = (code) => {
      this.#hooks?.kill();
      this.#sources.kill();
      exit(code);
    };
    this.#sources = sources;
    this.#eventLog = new EventLog(sources.names);
    this.#hooks = args.hook && new Hooks(args.hook, originOf(shownUrl(args.url), args.hook.name, lookup));
    this.#credentials = new Credentials(sources, () => this.#connection);
    this.#connection = open(engine, args, sources, connector ? exchanges(connector, this.#output) : nowhere, {
      event: (event) => this.#event(event),
      closed: (error) => void this.#closed(error),
    });
    onSignal((wish) => this.#wish(wish));
    this.#awake = watchSleep((seconds) => {
      log.info(`the machine slept for ${Math.floor(seconds)} s: checking the connection`);
      this.#connection.handle({ tag: "probe" });
    });
    this.#input = new Input(process.stdin, args.maxMessageBytes, () => new engine.Oversized(), {
      line: (line) => this.#line(line),
      end: () => this.#end("Stdin"),
    });
    this.#output.onfull = (full) => {
      this.#connection.hold(full);
      this.#input.hold(full);
    };
    this.#output.onclose = () => this.#end("Stdout");
  }

  #line(line: Line): void {
    if ("text" in line) {
      if (!this.#connection.closed) this.#connection.handle({ tag: "message", val: line.text });
      return;
    }
    log.warn(`a message of ${line.bytes} bytes from the client is over --max-message-bytes`);
    if (line.answer !== undefined) this.#output.send(line.answer);
  }

  #event(event: types.Event): void {
    if (event.tag === "message") return this.#output.send(event.val);
    this.#eventLog.tell(event);
    this.#credentials.tell(event);
    this.#hooks?.tell(event);
  }

  #wish(wish: Wish): void {
    if (wish === "end") return this.#ending ? this.#exit(INTERRUPTED) : this.#end("Signal");
    if (this.#ending) return;
    if (wish === "status") log.line(statusLine(this.#connection.status()));
    else this.#connection.handle({ tag: "reconnect" });
  }

  #end(cause: string): void {
    if (this.#ending) return;
    this.#ending = true;
    log.debug(`ending: ${cause}`);
    this.#awake();
    this.#input.stop();
    setTimeout(() => this.#exit(0), GOODBYE);
    this.#connection.hold(false);
    this.#connection.handle({ tag: "close" });
    this.#told = this.#hooks?.finish(LAST_HOOKS) ?? this.#told;
  }

  async #closed(error?: Error): Promise<void> {
    if (!this.#ending) {
      const { cause } = error ?? {};
      log.error(`${error?.message ?? "the connection is closed"}${cause instanceof Error ? `: ${cause.message}` : ""}`);
      return this.#exit(1);
    }
    await this.#told;
    await this.#output.written();
    this.#exit(0);
  }
}

function open(engine: Component, args: BridgeArgs, sources: HeaderSources, start: Start, listener: Listener): Connection {
  const options = (component: Component) => {
    const made = check(component, args.url, args.options);
    made.setHeaders(sources.headers());
    if (sources.patience > 0) {
      const patience = BigInt(Math.round((sources.patience + MARGIN) * 1e6));
      made.setCredentialsTimeout(patience);
      made.setConnectHeadersTimeout(patience);
    }
    return made;
  };
  try {
    return new Connection(engine, options, start, listener);
  } catch (error) {
    throw wrongUsage(error);
  }
}

/** For a URL that the engine took and Node does not. */
export const nowhere: Start = ({ exchange }, report) => {
  report({ tag: "failed", val: { exchange, failure: "unsendable", detail: "the platform does not accept the URL" } });
  return { cancel: () => {}, pause: () => {}, resume: () => {} };
};

/** The engine's refusal in the words of the command line. */
export function wrongUsage(error: unknown): unknown {
  const { message } = error as Error;
  if (typeof message !== "string") return error;
  const [, url] = /^invalid URL: (.*)$/s.exec(message) ?? [];
  if (url) return new Refused(`the URL is not usable: ${url}; write http://HOST/PATH or https://HOST/PATH`);
  const [, header] = /^invalid header: (.*)$/s.exec(message) ?? [];
  if (header) return new Refused(`a header is not usable: ${header}`);
  return new Refused(`an option is not usable: ${message}`);
}
