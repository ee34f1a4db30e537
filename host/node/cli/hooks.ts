// `--on-event`: a command of the user is run for each event of the connection, one at a time and in order, apart from the messages.
// Events wait in a queue; when it is full, the oldest goes, since the newest says how things are.
import type { types } from "../src/engine.js";
import { JobFailure, run } from "./child.js";
import { hookEvent, toJson, type HookEvent, type HookName, type Origin } from "./hook-event.js";
import { log } from "./log.js";

/** Events that may wait. */
const QUEUE = 64;

/** What to run, and when. */
export interface HookOptions {
  /** For the shell. */
  command: string;
  /** The events to run it for; empty: all. */
  names: HookName[];
  /** Whether it is run for each attempt to reconnect that is reported, and not only for an outage's first. */
  allAttempts: boolean;
  /** How long one run may take, in milliseconds. */
  timeout: number;
  /** The user's name for the server, or empty. */
  name: string;
}

/** A running hook. */
export class Hooks {
  readonly #options: HookOptions;
  readonly #origin: Origin;
  /** An attempt was reported since the connection last worked. */
  #tried = false;
  readonly #stop = new AbortController();
  #waiting: { event: HookEvent; sequence: number }[] = [];
  /** Events so far, dropped ones included. */
  #count = 0;
  /** Events dropped since the last one that was taken. */
  #dropped = 0;
  /** The failure that was told last. */
  #told: string | undefined;
  /** Settles when nothing waits any more. */
  #working: Promise<void> | undefined;

  /** `origin` is told to the hook, so it holds no secret. */
  constructor(options: HookOptions, origin: Origin) {
    this.#options = options;
    this.#origin = origin;
  }

  /** Queues an event, if the hook is to hear of it. */
  tell(event: types.Event): void {
    const told = hookEvent(event);
    const { names } = this.#options;
    if (told && this.#repeats(told.name) && !this.#options.allAttempts) return;
    if (!told || (names.length > 0 && !names.includes(told.name))) return;
    this.#push(told);
    this.#working ??= this.#work().finally(() => (this.#working = undefined));
  }

  /** Lets what is queued be told for so many milliseconds; the rest is not told, and a command that still runs is killed. */
  async finish(patience: number): Promise<void> {
    if (!this.#working) return;
    let timer;
    const late = new Promise<true>((resolve) => (timer = setTimeout(() => resolve(true), patience)));
    if (await Promise.race([this.#working, late])) {
      log.warn(`the bridge ends: --on-event is stopped, and not run for ${this.#waiting.length} more events`);
      this.kill();
    }
    clearTimeout(timer);
  }

  /** Ends a command that runs; no other is begun. */
  kill(): void {
    this.#waiting = [];
    this.#stop.abort();
  }

  /** Whether the event is one attempt more of an outage of which one was reported already. */
  #repeats(name: HookName): boolean {
    const tried = this.#tried;
    if (name === "McpServerReconnecting") this.#tried = true;
    if (["McpServerConnected", "McpServerDisconnected", "McpServerReconnected"].includes(name)) this.#tried = false;
    return name === "McpServerReconnecting" && tried;
  }

  #push(event: HookEvent): void {
    this.#count += 1;
    if (this.#waiting.length === QUEUE) {
      this.#waiting.shift();
      this.#dropped += 1;
      if (this.#dropped === 1) log.warn(`--on-event does not keep up: ${QUEUE} events wait for it, the oldest are dropped`);
    }
    this.#waiting.push({ event, sequence: this.#count });
  }

  async #work(): Promise<void> {
    for (let next; (next = this.#waiting.shift()); ) {
      const dropped = this.#dropped;
      this.#dropped = 0;
      if (dropped > 0) log.warn(`--on-event was not run for ${dropped} events: it did not keep up`);
      this.#report(await this.#run(toJson(next.event, this.#origin, next.sequence, dropped)));
    }
  }

  /** Runs it for one event: why it failed, if it did. */
  async #run(input: string): Promise<string | undefined> {
    const { command, timeout: limit } = this.#options;
    try {
      await run({ command, input, limit, signal: this.#stop.signal });
      return undefined;
    } catch (error) {
      if (error instanceof JobFailure) return error.message;
      throw error;
    }
  }

  /** The same failure again and again is told once. */
  #report(failure: string | undefined): void {
    if (failure !== undefined && !this.#stop.signal.aborted) log[failure === this.#told ? "debug" : "warn"](`--on-event ${failure}`);
    this.#told = failure;
  }
}
