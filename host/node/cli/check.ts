// `check`: carries out the steps of a check, which are the engine's, as its words are. The same as the native command's.
import { Connection } from "../src/connection.js";
import { type Component, component, type diagnosis, now, type types } from "../src/engine.js";
import { check as checked } from "../src/options.js";
import { shownUrl, type CheckArgs } from "./args.js";
import { connectorOf, nowhere, probe, wrongUsage } from "./bridge.js";
import { NotConnected, type Connector } from "./connector.js";
import { Refused } from "./duration.js";
import { exchanges } from "./exchange.js";
import type { Lookup } from "./expand.js";
import { HeaderSources } from "./header-sources.js";
import { log } from "./log.js";
import { write } from "./stdout.js";
import { factsOf } from "./tls-facts.js";

/** A shell's exit code for a process that SIGINT ended. */
const INTERRUPTED = 130;

/** Checks a server. Gives the exit code. Rejects with `Refused`. */
export async function run(args: CheckArgs, lookup: Lookup): Promise<number> {
  const engine = component();
  const interrupted = new Promise<"interrupted">((resolve) => process.once("SIGINT", () => resolve("interrupted")));
  const sources = new HeaderSources(args.headers, shownUrl(args.url), lookup, (headers) => probe(engine, headers));
  const connector = connectorOf(args, lookup);
  // A check is short: what gives headers is asked once.
  const headers = await Promise.race([within(args.limit, sources.gather()), interrupted]);
  if (headers === "interrupted") {
    sources.kill();
    return INTERRUPTED;
  }
  if (headers === LATE) throw new Refused("the headers did not come within --timeout");
  const driver = new Driver(engine, args, connector, headers);
  const check = begin(engine, args, headers);
  const progress = new Progress(args.verbose);
  let isInterrupted = false;
  for (;;) {
    const step = check.step();
    progress.step(check.progress());
    if (step.tag === "done") break;
    const outcome = driver.carryOut(step);
    const first = isInterrupted ? await outcome : await Promise.race([outcome, interrupted]);
    if (first === "interrupted") {
      // The server is told, if it listens; nobody is kept waiting for that.
      isInterrupted = true;
      check.interrupt(now());
    } else {
      check.answer(now(), first);
    }
  }
  if (isInterrupted) return INTERRUPTED;
  await write(args.json ? check.json() : check.text());
  return check.exitCode();
}

function begin(engine: Component, { url, limit }: CheckArgs, headers: [string, string][]): diagnosis.Check {
  try {
    return engine.Check.begin(url, headers, BigInt(Math.round(limit * 1e6)), now());
  } catch (error) {
    const { payload } = error as { payload?: unknown };
    throw typeof payload === "string" ? wrongUsage(new Error(`invalid URL: ${payload}`)) : error;
  }
}

const LATE = Symbol("late");

/** The longest wait that JavaScript's timers take, in milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** What the work gives, or that it took longer. What comes of it then is nobody's. */
async function within<T>(milliseconds: number, work: Promise<T>): Promise<T | typeof LATE> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<typeof LATE>((resolve) => {
    timer = setTimeout(() => resolve(LATE), Math.min(Math.max(milliseconds, 0), LONGEST_TIMER));
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The steps, on stderr where a person watches. */
class Progress {
  readonly #shown: boolean;
  readonly #begun = performance.now();
  #step = "";

  constructor(always: boolean) {
    this.#shown = always || Boolean(process.stderr.isTTY);
  }

  /** This is done now. */
  step(name: string): void {
    if (name !== this.#step && this.#shown) log.line(`[${((performance.now() - this.#begun) / 1000).toFixed(3).padStart(6)}] ${name}`);
    this.#step = name;
  }
}

/** Values in the order in which they came, for one who takes one at a time. */
class Queue<T> {
  #values: T[] = [];
  #wake: (() => void) | undefined;

  push(value: T): void {
    this.#values.push(value);
    this.#wake?.();
  }

  /** The next one. A wait that is given up has taken none. */
  async next(milliseconds: number): Promise<T | typeof LATE> {
    if (this.#values.length === 0) await within(milliseconds, new Promise<void>((resolve) => (this.#wake = resolve)));
    return this.#values.length === 0 ? LATE : this.#values.shift()!;
  }
}

/** A response under way. */
interface Response {
  outcomes: Queue<diagnosis.Outcome>;
  end(): void;
}

/** Nothing stands between the server and the check. */
const ROOM = { full: false, room: () => Promise.resolve() };

class Driver {
  readonly #connector: Connector | undefined;
  readonly #connection: Connection;
  readonly #events = new Queue<diagnosis.Outcome>();
  readonly #closed: Promise<diagnosis.Outcome>;
  readonly #shared;
  #exchange = 0n;
  /** The response of the last request, and the one that is the stream. */
  #last: Response | undefined;
  #stream: Response | undefined;

  /** Throws `Refused`. Makes no contact yet. */
  constructor(engine: Component, args: CheckArgs, connector: Connector | undefined, headers: [string, string][]) {
    this.#connector = connector;
    this.#shared = connector ? exchanges(connector, ROOM) : nowhere;
    const { limit } = args;
    const times = { heartbeatInterval: 0, startTimeout: 0, holdTimeout: limit, runTimeout: limit, responseTimeout: limit };
    const options = (component: Component): types.Options => {
      const made = checked(component, args.url, { ...args.options, ...times });
      made.setHeaders(headers);
      return made;
    };
    let closed = (_: diagnosis.Outcome): void => {};
    this.#closed = new Promise((resolve) => (closed = resolve));
    try {
      this.#connection = new Connection(engine, options, connector ? exchanges(connector, ROOM) : nowhere, {
        event: (event) => this.#events.push(outcomeOf(event)),
        closed: () => {
          this.#events.push({ tag: "event-closed" });
          closed({ tag: "done" });
        },
      });
    } catch (error) {
      throw wrongUsage(error);
    }
  }

  /** Does it, within the time that it has. */
  async carryOut(step: diagnosis.Step): Promise<diagnosis.Outcome> {
    switch (step.tag) {
      case "send":
        if (this.#connection.closed) return { tag: "failed", val: "the connection is closed" };
        this.#connection.handle({ tag: "message", val: step.val });
        return { tag: "done" };
      case "receive":
        return orLate(await this.#events.next(milliseconds(step.val)));
      case "request":
        return this.#request(step.val);
      case "read": {
        const response = step.val.ofStream ? this.#stream : this.#last;
        return response ? orLate(await response.outcomes.next(milliseconds(step.val.limit))) : { tag: "end" };
      }
      case "end-stream":
        this.#stream?.end();
        this.#stream = undefined;
        return { tag: "done" };
      case "look-at-tls":
        return orLate(await within(milliseconds(step.val), this.#tls()));
      case "close":
        this.#connection.handle({ tag: "close" });
        return { tag: "done" };
      case "await-closed":
        return orLate(await within(milliseconds(step.val), this.#closed));
      case "done":
        return { tag: "done" };
      case "other":
        return { tag: "failed", val: "this program is too old for that" };
    }
  }

  async #request({ via, isStream, limit, ...request }: diagnosis.Probe): Promise<diagnosis.Outcome> {
    this.#last?.end();
    this.#last = undefined;
    const make = via === "shared" || !this.#connector ? this.#shared : exchanges(this.#connector, ROOM, via !== "undecoded");
    const outcomes = new Queue<diagnosis.Outcome>();
    this.#exchange += 1n;
    const running = make({ ...request, exchange: this.#exchange }, (input) => {
      switch (input.tag) {
        case "response":
          return outcomes.push({ tag: "head", val: { status: input.val.status, headers: input.val.headers, version: "HTTP/1.1" } });
        case "body":
          return outcomes.push({ tag: "bytes", val: input.val.bytes });
        case "end":
          return outcomes.push({ tag: "end" });
        case "failed":
          return outcomes.push({ tag: "failed", val: input.val.detail });
      }
    });
    const response = { outcomes, end: () => running.cancel() };
    const head = orLate(await outcomes.next(milliseconds(limit)));
    if (head.tag !== "head") {
      response.end();
      return head;
    }
    if (isStream) this.#stream = response;
    else this.#last = response;
    return head;
  }

  async #tls(): Promise<diagnosis.Outcome> {
    const connector = this.#connector;
    if (!connector || connector.proxy || connector.url.protocol !== "https:") return { tag: "tls", val: undefined };
    try {
      const socket = await connector.connect();
      const val = factsOf(socket);
      socket.destroy();
      return { tag: "tls", val };
    } catch (error) {
      return { tag: "failed", val: error instanceof NotConnected ? error.fault.detail : String(error) };
    }
  }
}

/** In milliseconds, and no shorter. */
function milliseconds(nanoseconds: bigint): number {
  return Math.ceil(Number(nanoseconds) / 1e6);
}

function orLate(outcome: diagnosis.Outcome | typeof LATE): diagnosis.Outcome {
  return outcome === LATE ? { tag: "late" } : outcome;
}

function outcomeOf(event: types.Event): diagnosis.Outcome {
  switch (event.tag) {
    case "message":
      return { tag: "event-message", val: event.val };
    case "connected":
      return { tag: "event-connected", val: event.val };
    case "disconnected":
      return { tag: "event-disconnected", val: event.val.reason };
    case "reconnecting":
      return { tag: "event-reconnecting", val: event.val.reason };
    case "credentials-needed":
      return { tag: "event-credentials-needed", val: event.val };
    default:
      return { tag: "event-other" };
  }
}
