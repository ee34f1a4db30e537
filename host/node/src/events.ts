// What a client hears of a connection: the component's events in JavaScript's terms.
import type { types } from "./engine.js";

/** A transport of the MCP specification: Streamable HTTP (2025-03-26 and later), HTTP+SSE (2024-11-05), or one newer than this. */
export type TransportKind = "streamable-http" | "http-sse" | "other";

/** A session, for people and logs. In a version without sessions (MCP 2026-07-28): what is known of the server instead. */
export interface SessionInfo {
  /** Counts the sessions of this connection, from 1. Without sessions: how often the server has described itself differently, and 1. */
  epoch: number;
  transport: TransportKind;
  /** The negotiated protocol version. Without sessions: that which the client's requests name. */
  protocolVersion: string;
  /** The server's name, or empty. */
  serverName: string;
  /** The server's version, or empty. */
  serverVersion: string;
  /** Whether the server gave a session id. The id is a secret and not shown. */
  hasSessionId: boolean;
}

/** A session and what happened to it. */
export interface SessionReason {
  epoch: number;
  /** Why, for people. */
  reason: string;
}

/** The next attempt to reconnect. */
export interface Attempt {
  /** 1 for the first attempt since the last progress. */
  attempt: number;
  /** How long until it is made, in milliseconds. */
  delay: number;
  /** Why the last one failed, for people. */
  reason: string;
}

/** What a reconnect led to. */
export interface Recovery {
  session: SessionInfo;
  /** Whether the session is a new one. False without sessions. */
  newSession: boolean;
  /** Whether the server's info, version, capabilities or instructions differ from those of the last session. */
  serverChanged: boolean;
}

/** A server's demand for other credentials. */
export interface Challenge {
  /** The HTTP status, 401 or 403. */
  status: number;
  /** The `WWW-Authenticate` header, or empty. */
  challenge: string;
}

/** A request that something happened to. */
export interface RequestReport {
  method: string;
  /** Whether the server had accepted it. */
  accepted: boolean;
  /** Why, for people. */
  reason: string;
}

/** A line for a log. It holds no secrets. */
export interface Diagnostic {
  level: "debug" | "info" | "warn";
  text: string;
}

/** The events of a `ReconnectingTransport` and their `detail`. */
export interface TransportEvents {
  /** The first contact with the server begins. */
  connecting: null;
  /** The first session is ready. Without sessions: the server has shown that it speaks such a version. */
  connected: SessionInfo;
  /** The connection or its session is lost. Without sessions: the server cannot be reached. */
  disconnected: SessionReason;
  /** A ping went unanswered while a request is in flight: the server is busy, or gone. */
  suspect: SessionReason;
  /** An attempt to reconnect comes after a delay. */
  reconnecting: Attempt;
  /** Work goes on. */
  reconnected: Recovery;
  /** The server wants other credentials: see `setHeaders`. */
  credentialsneeded: Challenge;
  /** A request that may or may not have run is sent again, because it is safe. */
  replayed: RequestReport;
  /** A request was answered with the error that says that its outcome is unknown. */
  outcomeunknown: RequestReport;
  /** A line for a log. */
  diagnostic: Diagnostic;
  /** The last event. */
  closed: null;
}

/** What a connection is doing. */
export type State = "idle" | "connecting" | "ready" | "waiting" | "needs-credentials" | "closed" | "other";

/** A snapshot of a connection. */
export interface Status {
  state: State;
  /** The current session, if there is one. */
  session: SessionInfo | undefined;
  /** How long the current session has been up, in milliseconds, or 0. */
  sessionAge: number;
  /** Messages waiting to be sent. */
  queued: number;
  /** Requests of the client that wait for their answer, queued ones included. */
  inFlight: number;
  /** Sessions begun after the first. */
  reconnects: number;
  /** Requests sent a second time. */
  replays: number;
  /** The last failure, or empty. */
  lastError: string;
}

/** @internal An event by its name and detail. */
export type NamedEvent = { [Name in keyof TransportEvents]: [Name, TransportEvents[Name]] }[keyof TransportEvents];

/** @internal The component's event for the client. Undefined for messages, which take another way, and for what is newer than this. */
export function named(event: types.Event): NamedEvent | undefined {
  switch (event.tag) {
    case "connecting":
      return ["connecting", null];
    case "connected":
      return ["connected", sessionInfo(event.val)];
    case "disconnected":
    case "suspect":
      return [event.tag, { epoch: Number(event.val.epoch), reason: event.val.reason }];
    case "reconnecting":
      return ["reconnecting", { attempt: event.val.number, delay: milliseconds(event.val.delay), reason: event.val.reason }];
    case "reconnected":
      return ["reconnected", { ...event.val, session: sessionInfo(event.val.session) }];
    case "credentials-needed":
      return ["credentialsneeded", { status: event.val.status, challenge: event.val.wwwAuthenticate }];
    case "replayed":
      return ["replayed", event.val];
    case "outcome-unknown":
      return ["outcomeunknown", event.val];
    case "diagnostic":
      // One that is newer than this is nothing to be overlooked.
      return ["diagnostic", { ...event.val, level: event.val.level === "other" ? "warn" : event.val.level }];
    // Answered by the transport itself, with the client's function.
    case "headers-needed":
    case "message":
    case "other":
      return undefined;
  }
}

/** @internal The component's status in JavaScript's terms. */
export function status(from: types.Status): Status {
  const { session, sessionAge, reconnects, replays, ...rest } = from;
  return {
    ...rest,
    session: session && sessionInfo(session),
    sessionAge: milliseconds(sessionAge),
    reconnects: Number(reconnects),
    replays: Number(replays),
  };
}

function sessionInfo(session: types.SessionInfo): SessionInfo {
  return { ...session, epoch: Number(session.epoch) };
}

function milliseconds(nanoseconds: bigint): number {
  return Number(nanoseconds) / 1e6;
}
