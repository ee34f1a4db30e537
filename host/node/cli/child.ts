// Commands of the user (`--on-event`, `--header-command`): run by the shell, in a process group of their own, with bounds on what they
// print and on how long they take. Nothing of theirs reaches the bridge's own stdin and stdout, which are the client's.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";

/** What is kept of a command's stderr, in bytes. The rest is read and dropped. */
const MAX_STDERR = 4 << 10;
/** How long the pipes of a command that has ended are read on, in milliseconds: a process that it left behind may hold them open. */
const DRAIN = 100;

const WINDOWS = process.platform === "win32";

/** A command to run. */
export interface Job {
  /** For `sh -c`, or for `cmd /C` on Windows. */
  command: string;
  /** Variables beside those of the bridge. */
  environment?: Record<string, string>;
  /** What it reads on stdin. */
  input?: string;
  /** How much it may print on stdout, in bytes; without it what it prints is thrown away. */
  maxOutput?: number;
  /** How long it may run, in milliseconds. Then it is killed, with every process of its group. */
  limit: number;
  /** Kills it when it is aborted. */
  signal?: AbortSignal;
}

/** Why a command came to nothing. */
export class JobFailure extends Error {}

/** Runs a command to its end and gives what it printed. Rejects with a `JobFailure`, which may repeat its stderr but not its stdout. */
export async function run(job: Job): Promise<Buffer> {
  const child = start(job);
  const kill = () => killGroup(child);
  const late = setTimeout(() => end(new JobFailure(`did not end within ${shown(job.limit)} and was killed`)), job.limit);
  const aborted = () => end(new JobFailure("was killed, because the bridge ends"));
  let failure: JobFailure | undefined;
  const end = (why: JobFailure) => {
    failure ??= why;
    kill();
  };
  job.signal?.addEventListener("abort", aborted, { once: true });
  if (job.signal?.aborted) aborted();
  const out = new Kept(child.stdout, job.maxOutput ?? 0, () => end(new JobFailure(`printed more than ${job.maxOutput} bytes`)));
  const err = new Kept(child.stderr, MAX_STDERR);
  try {
    const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
    await Promise.race([Promise.all([out.ended, err.ended]), new Promise((resolve) => setTimeout(resolve, DRAIN))]);
    if (failure) throw failure;
    if (code === 0) return out.bytes();
    const said = excerpt(err.bytes());
    throw new JobFailure(`failed (${code === null ? `signal: ${signal}` : `exit status: ${code}`})${said && `: ${said}`}`);
  } catch (error) {
    throw error instanceof JobFailure ? error : (failure ?? new JobFailure(`could not be run: ${(error as Error).message}`));
  } finally {
    clearTimeout(late);
    job.signal?.removeEventListener("abort", aborted);
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
  }
}

function start({ command, environment, input, maxOutput }: Job): ChildProcess {
  const [program, args] = WINDOWS ? ["cmd", ["/D", "/S", "/C", `"${command}"`]] : ["sh", ["-c", command]];
  const child = spawn(program as string, args as string[], {
    env: { ...process.env, ...environment },
    stdio: [input ? "pipe" : "ignore", maxOutput === undefined ? "ignore" : "pipe", "pipe"],
    // A process group of its own.
    detached: !WINDOWS,
    windowsHide: true,
    windowsVerbatimArguments: WINDOWS,
  });
  // Who does not want to know does not read: no error.
  child.stdin?.on("error", () => {}).end(input);
  return child;
}

/** On Windows only the shell itself is killed; what it started ends by itself. */
function killGroup(child: ChildProcess): void {
  // Once its end is known, its id may be another's.
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    if (WINDOWS) child.kill("SIGKILL");
    else process.kill(-child.pid, "SIGKILL");
  } catch {
    // Nobody is left.
  }
}

/** The first bytes of a pipe; the others are read and dropped, or reported. */
class Kept {
  /** Resolves at the pipe's end. */
  readonly ended: Promise<void>;
  readonly #chunks: Buffer[] = [];
  #room: number;

  constructor(pipe: Readable | null, limit: number, over?: () => void) {
    this.#room = limit;
    this.ended = new Promise((resolve) => {
      if (!pipe) return resolve();
      pipe.on("data", (chunk: Buffer) => {
        if (chunk.length > this.#room) over?.();
        if (this.#room > 0) this.#chunks.push(chunk.subarray(0, this.#room));
        this.#room -= Math.min(chunk.length, this.#room);
      });
      pipe.on("error", () => resolve()).on("close", resolve);
    });
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

/** The beginning of what a command wrote on stderr, on one line and short. */
function excerpt(stderr: Buffer): string {
  const lines = stderr
    .toString()
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  const characters = [...lines.slice(0, 3).join(" | ")];
  return characters.length > 400 ? `${characters.slice(0, 400).join("")}…` : characters.join("");
}

/** Milliseconds as the native command writes them. */
export function shown(milliseconds: number): string {
  return milliseconds < 1000 ? `${milliseconds}ms` : `${milliseconds / 1000}s`;
}
