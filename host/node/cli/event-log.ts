// Tells a person on stderr what happens to the connection: an outage is two or three lines, however long it lasts.
import type { types } from "../src/engine.js";
import { log } from "./log.js";

/** Turns events into log lines. */
export class EventLog {
  /** The reason that was told last: an attempt is told at `info` only if it is the first or has another reason. */
  #told: string | undefined;
  /** Whether an attempt was told since the connection was lost. */
  #trying = false;
  readonly #credentials: string;

  /** Knows which options give the credentials. */
  constructor(credentials: string) {
    this.#credentials = credentials;
  }

  /** Tells an event. A message is not told: what it holds is between the client and the server. */
  tell(event: types.Event): void {
    switch (event.tag) {
      case "message":
        break;
      case "connecting":
        log.debug("connecting");
        break;
      case "connected":
        this.#reset();
        log.info(`connected: ${named(event.val)}`);
        break;
      case "disconnected":
        this.#reset(event.val.reason);
        log.info(`disconnected: ${event.val.reason}`);
        break;
      case "suspect":
        log.info(`no sign of life from the server: ${event.val.reason}`);
        break;
      case "reconnecting":
        this.#attempt(event.val);
        break;
      case "reconnected": {
        this.#reset();
        const { session, newSession, serverChanged } = event.val;
        const change = serverChanged ? "; the server has changed" : "";
        log.info(`reconnected, ${newSession ? "new" : "same"} session: ${named(session)}${change}`);
        break;
      }
      case "credentials-needed": {
        const { status, wwwAuthenticate } = event.val;
        const challenge = wwwAuthenticate && `, ${wwwAuthenticate}`;
        log.warn(`the server wants other credentials (HTTP ${status}${challenge}); check ${this.#credentials}`);
        break;
      }
      case "headers-needed":
        if (event.val === undefined) log.debug("getting the headers of the next session");
        else log.info("getting other credentials");
        break;
      case "replayed":
        log.info(`sent again: ${event.val.method}: ${event.val.reason}`);
        break;
      case "outcome-unknown": {
        const { method, accepted, reason } = event.val;
        log.warn(`outcome unknown: ${method}${accepted ? ", which the server had accepted" : ""}: ${reason}`);
        break;
      }
      case "diagnostic":
        log[event.val.level === "other" ? "warn" : event.val.level](event.val.text);
        break;
      default:
        log.debug((event as { tag: string }).tag);
    }
  }

  #attempt({ number, delay, reason }: types.Attempt): void {
    if (this.#told !== reason) {
      log.info(`trying again in ${short(delay)}: ${reason}`);
      this.#told = reason;
    } else if (!this.#trying) {
      log.info(`trying again in ${short(delay)}`);
    } else {
      log.debug(`attempt ${number} in ${short(delay)}: ${reason}`);
    }
    this.#trying = true;
  }

  #reset(told?: string): void {
    this.#told = told;
    this.#trying = false;
  }
}

const STATES: Record<types.State, string> = {
  idle: "idle, the client has not sent initialize",
  connecting: "connecting",
  ready: "ready",
  waiting: "waiting for the next attempt",
  "needs-credentials": "waiting for other credentials",
  closed: "closed",
  other: "in a state newer than this program",
};

const TRANSPORTS: Record<types.Transport, string> = {
  "streamable-http": "Streamable HTTP",
  "http-sse": "HTTP+SSE",
  other: "another transport",
};

/** The status as one line. */
export function statusLine(status: types.Status): string {
  const session = status.session ? `${named(status.session)} for ${short(status.sessionAge)}` : "no session";
  const { queued, inFlight, reconnects, replays } = status;
  const counts = `${queued} queued, ${inFlight} in flight, ${reconnects} reconnects, ${replays} replays`;
  return `status: ${STATES[status.state]}; ${session}; ${counts}; last error: ${status.lastError || "none"}`;
}

/** A session in a few words. */
function named(session: types.SessionInfo): string {
  const version = session.serverVersion && ` ${session.serverVersion}`;
  const transport = TRANSPORTS[session.transport];
  return `${session.serverName || "a server without a name"}${version} (${transport}, MCP ${session.protocolVersion}), session ${session.epoch}`;
}

/** Nanoseconds with as many digits as a person wants. */
function short(nanoseconds: bigint): string {
  const milliseconds = Number(nanoseconds / 1_000_000n);
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 1) return `${milliseconds} ms`;
  if (seconds < 60) return `${(milliseconds / 1000).toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}
