// Standard output: messages, one a line, and nothing else. What is ready together is written together.
import type { Writable } from "node:stream";

/** Bytes that may wait to be written before nothing more is read from the server and from the client. */
const QUEUE_BYTES = 8 << 20;
/** Characters that are written in one call, rounded up to one message. */
const BATCH = 256 << 10;
/** A message of as many characters or more is turned into bytes at once; a shorter one is cheaper to join with its neighbours as text. */
const LONG = 64 << 10;

/** Where messages go. */
export class Output {
  /** Called when the client does not read (true), and when it does again (false). */
  onfull: (full: boolean) => void = () => {};
  /** Called once, when the client has closed its end. */
  onclose: () => void = () => {};

  readonly #stream: Writable;
  #waiting: string[] = [];
  /** How many characters wait, those that are being written included: at least as many as bytes in all but rare texts. */
  #size = 0;
  #writing = false;
  #closed = false;
  #full = false;
  #waiters: (() => void)[] = [];

  constructor(stream: Writable) {
    this.#stream = stream;
    // EPIPE, mostly. What else can be wrong with it ends it as well.
    stream.on("error", () => this.#close());
  }

  /** Queues a message. It may be called while it is full; senders that can wait do. */
  send(line: string): void {
    if (this.#closed) return;
    this.#waiting.push(line);
    this.#size += line.length + 1;
    this.#check();
    // Those of the same turn go together.
    if (!this.#writing) {
      this.#writing = true;
      queueMicrotask(() => this.#write());
    }
  }

  /** Whether the client does not read. */
  get full(): boolean {
    return this.#full;
  }

  /** Resolves when there is room, at once if there is. */
  async room(): Promise<void> {
    while (this.#full && !this.#closed) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  /** Resolves when all is written, or the client has closed its end. */
  async written(): Promise<void> {
    while (this.#writing && !this.#closed) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  #write(): void {
    const batch = this.#waiting.splice(0, this.#next());
    if (batch.length === 0 || this.#closed) {
      this.#writing = false;
      return this.#wake();
    }
    const length = batch.reduce((sum, line) => sum + line.length + 1, 0);
    const long = batch.length === 1 && length > LONG;
    batch.push("");
    this.#stream.write(long ? bytes(batch[0]!) : batch.join("\n"), (error) => {
      if (error) return this.#close();
      this.#size -= length;
      this.#check();
      this.#write();
    });
  }

  /** How many messages are written next: as many short ones as fit, or a long one alone. */
  #next(): number {
    let count = 0;
    for (let length = 0; count < this.#waiting.length && length < BATCH; count++) {
      const line = this.#waiting[count]!.length + 1;
      if (line > LONG) return Math.max(count, 1);
      length += line;
    }
    return count;
  }

  #check(): void {
    const full = !this.#closed && this.#size > (this.#full ? QUEUE_BYTES / 2 : QUEUE_BYTES);
    if (full === this.#full) return;
    this.#full = full;
    this.onfull(full);
    if (!full) this.#wake();
  }

  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiting = [];
    this.#size = 0;
    this.#check();
    this.#wake();
    this.onclose();
  }
}

/** A line, its end included, copied once. */
function bytes(line: string): Buffer {
  const length = Buffer.byteLength(line);
  const bytes = Buffer.allocUnsafe(length + 1);
  bytes.write(line);
  bytes[length] = 0x0a;
  return bytes;
}
