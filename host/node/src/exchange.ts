// One HTTP exchange: a request made, its response read, both reported to the engine.
import type { sansIo } from "./engine.js";
import type { Report } from "./connection.js";
import { fault, HEADERS, NOT_HTTP, switchesProtocols, TOO_LARGE, unsendable, type Fault } from "./failure.js";
import type { Send } from "./fetch.js";

export class Exchange {
  readonly #id: bigint;
  readonly #report: Report;
  readonly #controller = new AbortController();
  #over = false;
  /** While it is paused: resolves when it is not any more. */
  #paused: Promise<void> | undefined;
  #resume = (): void => {};

  constructor(request: sansIo.Request, send: Send, init: RequestInit, report: Report) {
    this.#id = request.exchange;
    this.#report = report;
    void this.#run(request, send, init);
  }

  /** Ends it. Nothing about it is reported any more. */
  cancel(): void {
    this.#over = true;
    this.#controller.abort();
    this.#resume();
  }

  /** Reads no more of the response's body, until it is resumed. */
  pause(): void {
    this.#paused ??= new Promise((resolve) => (this.#resume = resolve));
  }

  resume(): void {
    this.#paused = undefined;
    this.#resume();
  }

  async #run(request: sansIo.Request, send: Send, init: RequestInit): Promise<void> {
    const exchange = this.#id;
    const failed = ({ failure, detail }: Fault) => this.#tell({ tag: "failed", val: { exchange, failure, detail } }, true);
    try {
      const prepared = this.#prepare(request, init);
      if ("failure" in prepared) return failed(prepared);
      const response = await send(prepared.url, prepared.init, () => this.#tell({ tag: "sent", val: exchange }));
      if (response.type === "opaqueredirect") return failed(unsendable("the server redirects, and a browser does not say where to"));
      const headers = fields(response.headers);
      const unusable = response.status < 200 ? NOT_HTTP : headers.length > HEADERS ? TOO_LARGE : undefined;
      if (unusable) {
        failed({ failure: "lost", detail: unusable });
        return this.#controller.abort();
      }
      this.#tell({ tag: "response", val: { exchange, status: response.status, headers } });
      await this.#read(response.body);
      this.#tell({ tag: "end", val: exchange }, true);
    } catch (error) {
      if (this.#over) return;
      if (!switchesProtocols(error)) return failed(fault(error));
      // The status tells.
      this.#tell({ tag: "response", val: { exchange, status: 101, headers: [] } });
      this.#tell({ tag: "end", val: exchange }, true);
    }
  }

  #prepare({ method, https, authority, path, headers, body }: sansIo.Request, init: RequestInit): { url: URL; init: RequestInit } | Fault {
    let url;
    try {
      url = new URL(`${https ? "https" : "http"}://${authority}${path}`);
    } catch {
      return unsendable("the platform does not accept the URL");
    }
    const fields = new Headers();
    for (const [name, value] of headers) {
      try {
        fields.append(name, value);
      } catch {
        return unsendable(`the platform does not accept the header ${name}`);
      }
    }
    const own: RequestInit = { method: method.toUpperCase(), headers: fields, redirect: "manual", signal: this.#controller.signal };
    if (method === "post") own.body = body as Uint8Array<ArrayBuffer>;
    return { url, init: { ...init, ...own } };
  }

  async #read(body: ReadableStream<Uint8Array> | null): Promise<void> {
    const reader = body?.getReader();
    while (reader && !this.#over) {
      while (this.#paused && !this.#over) await this.#paused;
      const { done, value } = await reader.read();
      if (done) return;
      this.#tell({ tag: "body", val: { exchange: this.#id, bytes: value } });
    }
  }

  #tell(input: sansIo.Input, last = false): void {
    if (this.#over) return;
    this.#over = last;
    this.#report(input);
  }
}

const encoder = new TextEncoder();

/** What every `fetch` decodes, and then goes on to call encoded. */
const DECODED = ["gzip", "x-gzip", "deflate", "br"];

function fields(headers: Headers): [string, Uint8Array][] {
  const decoded = DECODED.includes(headers.get("content-encoding")?.trim().toLowerCase() ?? "");
  const told = [...headers].filter(([name]) => !decoded || (name !== "content-encoding" && name !== "content-length"));
  return told.map(([name, value]) => [name, encoder.encode(value)]);
}
