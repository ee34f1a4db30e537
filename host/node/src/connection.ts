// Drives one engine: hands it what happens, does what it wants, and waits for its deadline with one timer. An engine that fails is
// replaced.
import { brief } from "./brief.js";
import { component, now, refusal, type Component, type sansIo, type types } from "./engine.js";
import { inTurn } from "./turn.js";

/** Takes what an exchange has to tell the engine. */
export type Report = (input: sansIo.Input) => void;

/** Makes a request and reports what becomes of it, until that is over or cancelled. */
export type Start = (request: sansIo.Request, report: Report) => Running;

/** A request under way. */
export interface Running {
  /** Ends it. Nothing about it is reported any more. */
  cancel(): void;
  /** Reads no more of the response's body, until it is resumed. */
  pause(): void;
  resume(): void;
}

/** The longest wait that JavaScript's timers take, in milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1;
/** A timer that fires so much too late, in nanoseconds, lets go first what came from the network meanwhile. */
const LATE = 100_000_000n;

/** Who hears of it. */
export interface Listener {
  /** Something happened. */
  event(event: types.Event): void;
  /** The last call. With an error if it was closed by a defect. */
  closed(error?: Error): void;
}

/** Gives options in a component's own terms: `options` are used up by an engine, and another one needs its own. */
export type MakeOptions = (component: Component) => types.Options;

/** The first pause before an engine that failed is replaced again, and the longest; in milliseconds. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 30_000;
/** An engine that lived for so long failed on its own account, in milliseconds. */
const LONG_LIFE = 60_000;
/** After so many failures in a row to start with what was kept, it is started without: then at least each request has an answer. */
const HOPELESS = 5;
/** Messages of the program that may wait for another engine. */
const WAITING = 1024;

export class Connection {
  #engine: sansIo.Engine;
  readonly #options: MakeOptions;
  /** What outlives the engine, in an instance of its own. */
  #recovery: sansIo.Recovery;
  readonly #component: () => Component;
  /** How many POSTs were started. */
  #posts = 0n;
  /** The last session, if there was one. */
  #epoch: bigint | undefined;
  /** `initialize` was answered. */
  #answered = false;
  #closing = false;
  /** Headers that were set since the start. */
  #headers: [string, string][] | undefined;
  /** When the engine was started, and how many before it have failed soon after their start. */
  #started = now();
  #failures = 0;
  /** Waits for another engine. */
  #waiting: sansIo.Input[] | undefined;
  #restart: ReturnType<typeof setTimeout> | undefined;
  readonly #start: Start;
  readonly #listener: Listener;
  readonly #exchanges = new Map<bigint, Running>();
  /** Exchanges whose body is to be read on, each in a turn of its own. */
  readonly #resuming = new Set<bigint>();
  /** What the engine wants and nobody has done yet. */
  #outputs: sansIo.Output[] = [];
  #working = false;
  #closed = false;
  /** What exchanges have reported in this turn of the event loop, and the engine has not heard yet. */
  #reports: sansIo.Input[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer fires. */
  #timerAt = 0n;
  #arming: ReturnType<typeof setTimeout> | undefined;
  #held = false;

  /** Throws if the options are refused. `another` makes the component of an engine that takes the place of one that failed. */
  constructor(first: Component, options: MakeOptions, start: Start, listener: Listener, another: () => Component = component) {
    this.#options = options;
    this.#component = another;
    this.#recovery = new (component().Recovery)();
    this.#engine = this.#open(first);
    this.#start = start;
    this.#listener = listener;
  }

  #open(component: Component, recovery?: string): sansIo.Engine {
    const [seed] = crypto.getRandomValues(new BigUint64Array(1));
    const options = this.#options(component);
    if (this.#headers) options.setHeaders(this.#headers);
    if (recovery !== undefined) options.setRecovery(recovery);
    try {
      return component.Engine.open(options, seed!, now());
    } catch (error) {
      throw refusal(error) ?? error;
    }
  }

  /** Whether the last output was done. */
  get closed(): boolean {
    return this.#closed;
  }

  status(): types.Status {
    if (this.#waiting) return { ...STARTING };
    return this.#engine.status(now());
  }

  /**
   * Stops the engine's clock (true) and lets it go on (false): for a host that takes nothing from the network for a while, where
   * silence means nothing.
   */
  hold(held: boolean): void {
    this.#held = held;
    this.#disarm();
    // What waits in the network comes first.
    if (!held) this.#armSoon();
  }

  /** Gives the engine an input and does what comes of it. Throws if the engine refuses the input. */
  handle(input: sansIo.Input): void {
    this.#feed([...this.#reports.splice(0), input]);
  }

  /** An exchange's reports of one turn go in together: each call into the component has its price. */
  #report(input: sansIo.Input): void {
    if (this.#reports.push(input) === 1) queueMicrotask(() => this.#feed(this.#reports.splice(0)));
  }

  #feed(inputs: sansIo.Input[]): void {
    if (this.#closed || inputs.length === 0) return;
    if (this.#waiting) return this.#wait(this.#waiting, inputs);
    let refused: Error | undefined;
    for (const [index, input] of inputs.entries()) {
      try {
        this.#note(input);
        this.#engine.handle(now(), input);
        if (input.tag === "set-headers") this.#headers = input.val;
      } catch (error) {
        refused = refusal(error);
        if (refused) break;
        this.#fail(error);
        // What was reported of exchanges went with the engine.
        return this.#feed(inputs.slice(index + 1).filter(ofProgram));
      }
    }
    try {
      // All there are.
      for (const output of this.#engine.pollOutputs(0)) this.#outputs.push(output);
    } catch (error) {
      return this.#fail(error);
    }
    this.#work();
    if (refused) throw refused;
  }

  /** Writes down what the engine is about to hear. */
  #note(input: sansIo.Input): void {
    if (input.tag === "close") this.#closing = true;
    if (input.tag !== "message" || this.#closing) return;
    const text = brief(input.val, false);
    if (text !== undefined) this.#recovery.fromClient(text, this.#posts);
  }

  /** Does what the engine wants, in order, also if a listener calls `handle` meanwhile. */
  #work(): void {
    if (this.#working) return;
    this.#working = true;
    try {
      for (let output; !this.#closed && (output = this.#outputs.shift()); ) this.#do(output);
    } finally {
      this.#working = false;
    }
    this.#armSoon();
  }

  #do(output: sansIo.Output): void {
    switch (output.tag) {
      case "start": {
        const { exchange } = output.val;
        if (output.val.method === "post") this.#posts += 1n;
        let over = false;
        const running = this.#start(output.val, (input) => {
          if (input.tag === "end" || input.tag === "failed") {
            over = true;
            this.#exchanges.delete(exchange);
          }
          this.#report(input);
        });
        if (!over) this.#exchanges.set(exchange, running);
        break;
      }
      case "cancel":
        this.#exchanges.get(output.val)?.cancel();
        this.#exchanges.delete(output.val);
        break;
      case "pause":
        this.#resuming.delete(output.val);
        this.#exchanges.get(output.val)?.pause();
        break;
      case "resume":
        this.#resume(output.val);
        break;
      case "event":
        this.#tell(output.val);
        break;
      case "closed":
        this.#end();
        break;
    }
  }

  /**
   * What has been kept of a body meanwhile comes all at once, so between one and the next the engine is heard: it may have the
   * next wait again.
   */
  #resume(exchange: bigint): void {
    this.#resuming.add(exchange);
    inTurn(() => {
      if (this.#resuming.delete(exchange)) this.#exchanges.get(exchange)?.resume();
    });
  }

  #tell(event: types.Event): void {
    if (event.tag === "message") {
      // The answer to `initialize` is kept, all others are only looked at.
      const text = this.#answered ? brief(event.val, true) : event.val;
      if (text !== undefined) this.#recovery.toClient(text);
      this.#answered ||= this.#recovery.state()?.includes('"answer":"') ?? false;
    } else if (event.tag === "connected" || event.tag === "reconnected") {
      this.#epoch = event.tag === "connected" ? event.val.epoch : event.val.session.epoch;
      this.#recovery.onSession(this.#epoch);
    }
    this.#listener.event(event);
  }

  /** Once for all that happens now: the engine's shortest waits are longer. */
  #armSoon(): void {
    if (this.#closed) return;
    this.#arming ??= setTimeout(() => {
      this.#arming = undefined;
      this.#arm();
    }, 0);
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#arming);
    this.#timer = this.#arming = undefined;
  }

  /** The engine's deadline mostly moves into the future, so a timer is left to fire too early rather than made anew. */
  #arm(): void {
    if (this.#closed || this.#held) return;
    let deadline;
    try {
      deadline = this.#engine.deadline();
    } catch (error) {
      return this.#fail(error);
    }
    if (this.#timer !== undefined && deadline !== undefined && this.#timerAt <= deadline) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (deadline === undefined) return;
    const wait = Math.min(Math.max(Math.ceil(Number(deadline - now()) / 1e6), 0), LONGEST_TIMER);
    this.#timerAt = deadline;
    const tick = (): void => {
      this.#timer = undefined;
      this.handle({ tag: "tick" });
    };
    this.#timer = setTimeout(() => {
      // The next round of timers comes after one of I/O.
      if (now() - this.#timerAt > LATE) this.#timer = setTimeout(tick, 0);
      else tick();
    }, wait);
  }

  #end(error?: Error): void {
    this.#closed = true;
    this.#disarm();
    clearTimeout(this.#restart);
    this.#outputs = [];
    this.#reports = [];
    for (const exchange of this.#exchanges.values()) exchange.cancel();
    this.#exchanges.clear();
    this.#listener.closed(error);
  }

  /**
   * The component trapped: a defect of ours. What it had in flight is answered, and another one takes its place: at once the first
   * time, then after a pause that grows with each failure.
   */
  #fail(cause: unknown): void {
    if (this.#closed) return;
    this.#disarm();
    this.#outputs = [];
    this.#reports = [];
    for (const exchange of this.#exchanges.values()) exchange.cancel();
    this.#exchanges.clear();
    this.#waiting = [];
    this.#failures = now() - this.#started < BigInt(LONG_LIFE) * 1_000_000n ? this.#failures + 1 : 0;
    const why = cause instanceof Error ? cause.message : String(cause);
    const reason = "the transport component failed and is started again";
    try {
      const text = `the transport component failed, a defect of mcp-reconnect; please report it: ${why}`;
      this.#listener.event({ tag: "diagnostic", val: { level: "warn", text } });
      if (this.#epoch !== undefined) this.#listener.event({ tag: "disconnected", val: { epoch: this.#epoch, reason } });
      this.#answerLost(reason);
    } catch (error) {
      // Nothing is left to go on from.
      return this.#end(new Error("mcp-reconnect failed and closed the connection; this is a defect, please report it", { cause: error }));
    }
    if (this.#closing) return this.#end();
    const pause = this.#failures < 2 ? 0 : Math.min(FIRST_PAUSE * 2 ** (this.#failures - 2), LONGEST_PAUSE);
    this.#restart = setTimeout(() => this.#replace(reason), pause);
  }

  /** Answers what the engine had in flight. */
  #answerLost(reason: string): void {
    const { messages, unknown } = this.#recovery.fail(this.#posts);
    for (const method of unknown) this.#listener.event({ tag: "outcome-unknown", val: { method, accepted: false, reason } });
    for (const val of messages) this.#listener.event({ tag: "message", val });
  }

  #replace(reason: string): void {
    const waiting = this.#waiting ?? [];
    try {
      this.#engine = this.#open(this.#component(), this.#recovery.state());
      this.#started = now();
      this.#waiting = undefined;
    } catch (error) {
      this.#fail(error);
      if (this.#failures >= HOPELESS && !this.#closed) {
        this.#answerLost(reason);
        this.#recovery = new (component().Recovery)();
      }
      this.#waiting = waiting;
      return;
    }
    this.#feed([{ tag: "tick" }, ...waiting]);
  }

  /** Keeps what the program wants for the next engine. */
  #wait(waiting: sansIo.Input[], inputs: sansIo.Input[]): void {
    for (const input of inputs.filter(ofProgram)) {
      if (input.tag === "close") {
        for (const message of waiting) this.#note(message);
        this.#answerLost("the transport component failed");
        this.#closing = true;
        return this.#end();
      }
      if (input.tag === "set-headers") this.#headers = input.val;
      else if (input.tag === "message" && waiting.length >= WAITING) {
        this.#note(input);
        this.#answerLost("the transport component failed");
      } else waiting.push(input);
    }
  }
}

/** Whether it comes of the program, and not of an exchange of an engine that is gone. */
function ofProgram({ tag }: sansIo.Input): boolean {
  return ["message", "set-headers", "reconnect", "probe", "close"].includes(tag);
}

const STARTING: types.Status = {
  state: "connecting",
  sessionAge: 0n,
  queued: 0,
  inFlight: 0,
  reconnects: 0n,
  replays: 0n,
  lastError: "the transport component failed",
};
