// Drives one engine: hands it what happens, does what it wants, and waits for its deadline with one timer.
import { now, refusal, type Component, type sansIo, type types } from "./engine.js";

/** Takes what an exchange has to tell the engine. */
export type Report = (input: sansIo.Input) => void;

/** Makes a request and reports what becomes of it, until that is over or cancelled. */
export type Start = (request: sansIo.Request, report: Report) => { cancel(): void };

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

export class Connection {
  readonly #engine: sansIo.Engine;
  readonly #start: Start;
  readonly #listener: Listener;
  readonly #exchanges = new Map<bigint, { cancel(): void }>();
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

  /** Throws if the options are refused. */
  constructor({ Engine }: Component, options: types.Options, start: Start, listener: Listener) {
    const [seed] = crypto.getRandomValues(new BigUint64Array(1));
    try {
      this.#engine = Engine.open(options, seed!, now());
    } catch (error) {
      throw refusal(error) ?? error;
    }
    this.#start = start;
    this.#listener = listener;
  }

  /** Whether the last output was done. */
  get closed(): boolean {
    return this.#closed;
  }

  status(): types.Status {
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
    let refused: Error | undefined;
    try {
      for (const input of inputs) this.#engine.handle(now(), input);
    } catch (error) {
      refused = refusal(error);
      if (!refused) return this.#fail(error);
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
      case "event":
        this.#listener.event(output.val);
        break;
      case "closed":
        this.#end();
        break;
    }
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
    this.#outputs = [];
    this.#reports = [];
    for (const exchange of this.#exchanges.values()) exchange.cancel();
    this.#exchanges.clear();
    this.#listener.closed(error);
  }

  /** The component trapped: a defect of ours. Nothing of it can be used any more. */
  #fail(cause: unknown): void {
    if (!this.#closed) this.#end(new Error("mcp-reconnect failed and closed the connection; this is a defect, please report it", { cause }));
  }
}
