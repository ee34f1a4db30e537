// Where the headers come from: `--header`, `--header-env`, `--header-file` and `--header-command`, of which a later one replaces headers
// of the same name. The file and the command are asked again and again; what they gave last stays when they fail.
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

import { JobFailure, run, shown } from "./child.js";
import { Refused } from "./duration.js";
import { expand, type Lookup } from "./expand.js";
import { parseAll, type Header } from "./header.js";
import { log } from "./log.js";

/** The most that a file may hold, or a command print, in bytes. */
const MAX_BYTES = 64 << 10;

/** How often a pipe is looked at, in milliseconds. */
const LOOK = 20;

/** What the command line says of headers. */
export interface HeaderArgs {
  fixed: Header[];
  file?: string | undefined;
  command?: string | undefined;
  /** How long the file may take to be read, and the command to end, in milliseconds. */
  timeout: number;
}

/** Throws if the engine would not take the headers. */
export type CheckHeaders = (headers: Header[]) => void;

/** All headers, and how to get fresh ones. */
export class HeaderSources {
  readonly #args: HeaderArgs;
  readonly #serverUrl: string;
  readonly #lookup: Lookup;
  readonly #check: CheckHeaders;
  readonly #stop = new AbortController();
  #fromFile: Header[] = [];
  /** The last reading. A file system of the network may not answer: so long no other of Node's few threads waits for it too. */
  #reading: Promise<unknown> = Promise.resolve();
  #fromCommand: Header[] = [];

  /** `serverUrl` is told to the command, so it holds no secret. A file is to be read with `open`. */
  constructor(args: HeaderArgs, serverUrl: string, lookup: Lookup, check: CheckHeaders) {
    this.#args = args;
    this.#serverUrl = serverUrl;
    this.#lookup = lookup;
    this.#check = check;
  }

  /** How long `refresh` may take, in milliseconds; zero: nothing is to be refreshed. */
  get patience(): number {
    const { file, command, timeout } = this.#args;
    return (Number(file !== undefined) + Number(command !== undefined)) * timeout;
  }

  /** The options to look at when the headers are not the right ones. */
  get names(): string {
    const { fixed, file, command } = this.#args;
    const names = [fixed.length > 0 && "--header", file !== undefined && "--header-file", command !== undefined && "--header-command"];
    return names.filter(Boolean).join(" and ") || "--header";
  }

  /** Reads the file for the first time. Throws `Refused` with what is wrong, on one line and without a value. */
  async open(): Promise<void> {
    if (this.#args.file !== undefined) this.#fromFile = await this.#read(this.#args.file);
  }

  /** All headers, for a program that connects once. Throws `Refused` with what is wrong with the file. */
  async gather(): Promise<Header[]> {
    await this.open();
    await this.#runCommand();
    return this.headers();
  }

  /** The headers as they are known now. */
  headers(): Header[] {
    let all = this.#args.fixed;
    for (const headers of [this.#fromFile, this.#fromCommand]) {
      const names = new Set(headers.map(([name]) => name.toLowerCase()));
      all = [...all.filter(([name]) => !names.has(name.toLowerCase())), ...headers];
    }
    return all;
  }

  /**
   * Reads the file and runs the command. `status` is the HTTP status of the rejection that made it necessary. What fails is told on
   * stderr and leaves what there was.
   */
  async refresh(status?: number): Promise<void> {
    const { file } = this.#args;
    if (file !== undefined) {
      try {
        this.#fromFile = await this.#read(file);
      } catch (error) {
        log.warn(`${problem(error)}; its old headers are kept`);
      }
    }
    await this.#runCommand(status);
  }

  async #runCommand(status?: number): Promise<void> {
    const { command } = this.#args;
    if (command === undefined) return;
    try {
      this.#fromCommand = await this.#run(command, status);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      const rest = this.#fromCommand.length === 0 ? "it has given none yet" : "its old headers are kept";
      log.warn(`--header-command ${problem(error)}; ${rest}`);
    }
  }

  /** Ends a command that runs. */
  kill(): void {
    this.#stop.abort();
  }

  async #read(path: string): Promise<Header[]> {
    const late = new AbortController();
    try {
      // One that was given up ends in a moment, unless it never does.
      const reading = this.#reading.then(() => readText(path, late.signal));
      this.#reading = reading.catch(() => undefined);
      const text = await inTime(reading, this.#args.timeout);
      return this.#parse(text, "is not usable", (value) => expand(value, this.#lookup));
    } catch (error) {
      throw new Refused(`--header-file ${path} ${problem(error)}`);
    } finally {
      late.abort();
    }
  }

  async #run(command: string, status: number | undefined): Promise<Header[]> {
    const environment: Record<string, string> = { MCP_RECONNECT_SERVER_URL: this.#serverUrl };
    if (status !== undefined) environment.MCP_RECONNECT_STATUS = String(status);
    const printed = await run({ command, environment, maxOutput: MAX_BYTES, limit: this.#args.timeout, signal: this.#stop.signal });
    return this.#parse(utf8(printed, "printed what is not UTF-8"), "printed no headers", (value) => value);
  }

  #parse(text: string, complaint: string, finish: (value: string) => string): Header[] {
    try {
      const headers = parseAll(text, finish);
      this.#check(headers);
      if (headers.length === 0) throw new Refused("it holds no header; write 'Name: value' lines or a JSON object");
      return headers;
    } catch (error) {
      throw new Refused(`${complaint}: ${problem(error)}`);
    }
  }
}

/** What is wrong. Only our own words: others might repeat a value. */
function problem(error: unknown): string {
  if (error instanceof Refused || error instanceof JobFailure) return error.message;
  throw error;
}

async function readText(path: string, late: AbortSignal): Promise<string> {
  // Once nobody waits for it, it must not take what is written for the next reading.
  if (late.aborted) throw new Refused("was given up");
  let bytes;
  try {
    // A pipe must not hold one of Node's few threads until somebody writes to it.
    const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      const isPipe = (await file.stat()).isFIFO();
      const buffer = Buffer.alloc(MAX_BYTES + 1);
      let length = 0;
      while (length < buffer.length) {
        const read = await file.read(buffer, length).then(
          ({ bytesRead }) => bytesRead,
          (error: NodeJS.ErrnoException) => {
            if (error.code === "EAGAIN") return undefined;
            throw error;
          },
        );
        length += read ?? 0;
        if (read) continue;
        // A pipe to which nobody writes yet looks like one that has ended, and nothing tells of the change.
        if (read === 0 && (!isPipe || length > 0)) break;
        await sleep(LOOK, undefined, { signal: late });
      }
      bytes = buffer.subarray(0, length);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new Refused(`cannot be read: ${(error as Error).message}`);
  }
  if (bytes.length > MAX_BYTES) throw new Refused(`is over ${MAX_BYTES} bytes`);
  return utf8(bytes, "is not UTF-8");
}

function utf8(bytes: Buffer, complaint: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Refused(complaint);
  }
}

/** A pipe or a file system of the network may not answer. */
async function inTime<T>(promise: Promise<T>, limit: number): Promise<T> {
  let timer;
  const late = new Promise<never>(
    (_, reject) => (timer = setTimeout(() => reject(new Refused(`was not read within ${shown(limit)}`)), limit)),
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
