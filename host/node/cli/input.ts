// Standard input as lines.
import type { Readable } from "node:stream";

import { log } from "./log.js";
import { Splitter, type Line, type Scanner } from "./lines.js";

/** Who takes the lines. */
export interface Listener {
  line(line: Line): void;
  /** No line comes after this. */
  end(): void;
}

/** Reads lines until the end, or until it is stopped. While it is held up, only the end of an empty input is noticed. */
export class Input {
  readonly #stream: Readable;
  readonly #splitter: Splitter;
  readonly #listener: Listener;
  #held = false;
  #ended = false;

  constructor(stream: Readable, limit: number, scanner: () => Scanner, listener: Listener) {
    this.#stream = stream;
    this.#splitter = new Splitter(limit, scanner);
    this.#listener = listener;
    // At the end of this turn of the event loop: what the network told in the same turn, for instance that the server is gone,
    // came first and decides what becomes of a message.
    stream.on("readable", () => setImmediate(() => this.#read()));
    stream.on("end", () => this.#end());
    stream.on("error", (error) => {
      log.warn(`cannot read stdin, taken as its end: ${error.message}`);
      this.#end();
    });
  }

  /** The client does not read what is written: what it writes has to wait. */
  hold(held: boolean): void {
    this.#held = held;
    if (!held) this.#read();
  }

  /** Nothing is read any more. */
  stop(): void {
    this.#ended = true;
    this.#stream.destroy();
  }

  #read(): void {
    // Reading nothing is what makes an end known.
    if (this.#held && this.#stream.readableLength > 0) return;
    for (let chunk; !this.#ended && !this.#held && (chunk = this.#stream.read()) !== null; ) {
      for (const line of this.#splitter.feed(chunk)) this.#listener.line(line);
    }
    if (this.#held && this.#stream.readableLength === 0) this.#stream.read(0);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const line of this.#splitter.finish()) this.#listener.line(line);
    this.#listener.end();
  }
}
