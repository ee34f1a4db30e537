// Cuts a byte stream into lines, in bounded memory.

/** Reads what is over the limit, a piece at a time, and keeps none of it. */
export interface Scanner {
  feed(bytes: Uint8Array): void;
  /** The message that answers it, if it is owed one. */
  answer(limit: bigint): string | undefined;
}

/** A line that is not empty: its text without its end (LF or CRLF), or its size and its answer if it was over the limit. */
export type Line = { text: string } | { bytes: number; answer: string | undefined };

const LF = 0x0a;
const CR = 0x0d;

/** Takes bytes in pieces of any size and gives lines. */
export class Splitter {
  readonly #limit: number;
  readonly #scanner: () => Scanner;
  /** The beginning of a line whose end is still to come: at most the limit, and one byte for a CR. */
  #partial: Uint8Array[] = [];
  #length = 0;
  /** Reads the rest of a line that is over the limit. */
  #oversized: Scanner | undefined;

  /** For lines of at most `limit` bytes, their end not counted. */
  constructor(limit: number, scanner: () => Scanner) {
    this.#limit = limit;
    this.#scanner = scanner;
  }

  /** The lines that the next bytes complete. */
  *feed(bytes: Uint8Array): Generator<Line> {
    let start = 0;
    for (let end; (end = bytes.indexOf(LF, start)) >= 0; start = end + 1) {
      this.#take(bytes.subarray(start, end));
      yield* this.finish();
    }
    this.#take(bytes.subarray(start));
  }

  /** Ends the current line, and gives it if it is not empty. */
  *finish(): Generator<Line> {
    if (!this.#oversized) {
      let line: Uint8Array = this.#partial.length === 1 ? this.#partial[0]! : Buffer.concat(this.#partial, this.#length);
      if (line.at(-1) === CR) line = line.subarray(0, -1);
      if (line.length <= this.#limit) {
        this.#partial = [];
        this.#length = 0;
        const content = text(line);
        if (/[^ \t\n\f\r]/.test(content)) yield { text: content };
        return;
      }
      this.#scan();
    }
    const answer = this.#oversized!.answer(BigInt(this.#limit));
    const bytes = this.#length;
    this.#oversized = undefined;
    this.#length = 0;
    yield { bytes, answer };
  }

  #take(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#length += bytes.length;
    if (this.#oversized) return this.#oversized.feed(bytes);
    this.#partial.push(bytes);
    if (this.#length > this.#limit + 1) this.#scan();
  }

  #scan(): void {
    this.#oversized = this.#scanner();
    for (const piece of this.#partial) this.#oversized.feed(piece);
    this.#partial = [];
  }
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lossy = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * A line as text. What is not UTF-8 must be refused and not be mended: a message with replacement characters in a string would be
 * a valid one that the client never sent. A replacement character at its start
 * makes it no JSON at all; the engine answers it under its id, where that can be read.
 */
function text(line: Uint8Array): string {
  try {
    return strict.decode(line);
  } catch {
    return `\u{FFFD}${lossy.decode(line)}`;
  }
}
