// stdin and stdout on one side, the connection on the other.
import { Connection } from "../src/connection.js";
import { component, type types } from "../src/engine.js";
import { runtime, type Send } from "../src/fetch.js";
import { check } from "../src/options.js";
import type { BridgeArgs } from "./args.js";
import { Refused } from "./duration.js";
import { Input } from "./input.js";
import type { Line } from "./lines.js";
import { log } from "./log.js";
import { Narrator, statusLine } from "./narrator.js";
import { Output } from "./output.js";
import { onSignal, type Wish } from "./signals.js";
import { watchSleep } from "./sleep.js";

/** The end takes no longer than this, whatever the server and the client do. The engine's own goodbye is shorter. */
const GOODBYE = 900;

/** A shell's exit code for a process that SIGINT ended: a second signal does not wait for the goodbye. */
const INTERRUPTED = 130;

/** Bridges until the client closes stdin or stdout, or a signal asks to end. Gives the exit code. Throws `Refused`. */
export function run(args: BridgeArgs): Promise<number> {
  return new Promise((resolve, reject) => {
    try {
      new Bridge(args, resolve);
    } catch (error) {
      reject(error);
    }
  });
}

class Bridge {
  readonly #exit: (code: number) => void;
  readonly #output = new Output(process.stdout);
  readonly #narrator = new Narrator();
  readonly #connection: Connection;
  readonly #input: Input;
  readonly #awake: () => void;
  #ending = false;

  constructor(args: BridgeArgs, exit: (code: number) => void) {
    this.#exit = exit;
    const engine = component();
    this.#connection = open(engine, args, gated(runtime, this.#output), {
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
    if (event.tag === "message") this.#output.send(event.val);
    else this.#narrator.tell(event);
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
  }

  async #closed(error?: Error): Promise<void> {
    if (!this.#ending) {
      const { cause } = error ?? {};
      log.error(`${error?.message ?? "the connection is closed"}${cause instanceof Error ? `: ${cause.message}` : ""}`);
      return this.#exit(1);
    }
    await this.#output.written();
    this.#exit(0);
  }
}

function open(engine: ReturnType<typeof component>, args: BridgeArgs, ...rest: [Send, { event(event: types.Event): void; closed(error?: Error): void }]): Connection {
  const options = check(engine, args.url, args.options);
  options.setHeaders(args.headers);
  const [send, listener] = rest;
  try {
    return new Connection(engine, options, send, {}, listener);
  } catch (error) {
    throw wrongUsage(error);
  }
}

/** The engine's refusal in the words of the command line. */
function wrongUsage(error: unknown): unknown {
  const { message } = error as Error;
  if (typeof message !== "string") return error;
  const [, url] = /^invalid URL: (.*)$/s.exec(message) ?? [];
  if (url) return new Refused(`the URL is not usable: ${url}; write http://HOST/PATH or https://HOST/PATH`);
  const [, header] = /^invalid header: (.*)$/s.exec(message) ?? [];
  if (header) return new Refused(`a header is not usable: ${header}`);
  return new Refused(`an option is not usable: ${message}`);
}

/** Takes nothing from the server while the client does not take what there is. */
function gated(send: Send, output: Output): Send {
  return async (url, init, sent) => {
    const response = await send(url, init, sent);
    const reader = response.body?.getReader();
    const read = async () => {
      await output.room();
      return reader!.read();
    };
    const body = reader ? { getReader: () => ({ read }) } : null;
    return { type: response.type, status: response.status, headers: response.headers, body } as unknown as Response;
  };
}
