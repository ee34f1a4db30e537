// Answers the engine when it asks for fresh headers: before each session, and when a request was rejected. One run at a time.
import type { Connection } from "../src/connection.js";
import { refusal, type types } from "../src/engine.js";
import type { HeaderSources } from "./header-sources.js";
import { log } from "./log.js";

export class Credentials {
  readonly #sources: HeaderSources;
  readonly #connection: () => Connection;
  #running = false;

  constructor(sources: HeaderSources, connection: () => Connection) {
    this.#sources = sources;
    this.#connection = connection;
  }

  /** Takes note of an event. What is asked while a run is under way has the same answer. */
  tell(event: types.Event): void {
    if (event.tag === "headers-needed" && !this.#running) void this.#answer(event.val);
  }

  async #answer(status: number | undefined): Promise<void> {
    this.#running = true;
    await this.#sources.refresh(status);
    this.#running = false;
    try {
      // Also where there are no others: then nobody waits any longer.
      this.#connection().handle({ tag: "set-headers", val: this.#sources.headers() });
    } catch (error) {
      log.warn(`the new headers are not used: ${(refusal(error) ?? (error as Error)).message}`);
    }
  }
}
