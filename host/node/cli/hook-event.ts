// What a hook is told: one JSON object an event.
import type { types } from "../src/engine.js";
import type { Lookup } from "./expand.js";
import { escaped } from "./visible.js";

/** The events that hooks are told of, by their names. */
export const HOOK_NAMES = [
  "McpServerConnected",
  "McpServerDisconnected",
  "McpServerSuspect",
  "McpServerReconnecting",
  "McpServerReconnected",
  "McpServerCredentialsNeeded",
  "McpRequestReplayed",
  "McpRequestOutcomeUnknown",
] as const;
export type HookName = (typeof HOOK_NAMES)[number];

type Facts = Record<string, string | number | boolean>;

/** An event that waits for its hook. */
export interface HookEvent {
  name: HookName;
  /** When, as RFC 3339 has it. */
  at: string;
  facts: Facts;
}

/** What there is to tell of an event, now; undefined for events that hooks are not told of. */
export function hookEvent(event: types.Event): HookEvent | undefined {
  const told = describe(event);
  return told && { name: told[0], at: new Date().toISOString(), facts: told[1] };
}

/** What is the same in all objects of a bridge. Empty where it is not known. */
export type Origin = Record<"server_url" | "mcp_server_name" | "session_id" | "cwd", string>;

/** With what Claude Code tells the servers that it starts. `url` holds no secret; `name` is the user's for the server. */
export function originOf(url: string, name: string, lookup: Lookup): Origin {
  const known = (variable: string) => lookup(variable) ?? "";
  return { server_url: url, mcp_server_name: name, session_id: known("CLAUDE_CODE_SESSION_ID"), cwd: known("CLAUDE_PROJECT_DIR") };
}

/** The object, as one line. `sequence` numbers the events of this bridge's hook, `dropped` of which, just before this one, it was not told of. */
export function toJson({ name, at, facts }: HookEvent, origin: Origin, sequence: number, dropped: number): string {
  // What is not known is absent.
  const known = Object.entries({ ...facts, ...origin }).filter(([, fact]) => fact !== "");
  const common = { timestamp: at, pid: process.pid, sequence, ...(dropped > 0 && { dropped }) };
  return `${escaped(JSON.stringify({ hook_event_name: name, ...Object.fromEntries(known), ...common }))}\n`;
}

function describe(event: types.Event): [HookName, Facts] | undefined {
  switch (event.tag) {
    case "connected":
      return ["McpServerConnected", session(event.val)];
    case "disconnected":
      return ["McpServerDisconnected", { epoch: Number(event.val.epoch), reason: event.val.reason }];
    case "suspect":
      return ["McpServerSuspect", { epoch: Number(event.val.epoch), reason: event.val.reason }];
    case "reconnecting": {
      const { number: attempt, delay, reason } = event.val;
      return ["McpServerReconnecting", { attempt, next_delay_ms: Number(delay / 1_000_000n), reason }];
    }
    case "reconnected": {
      const { session: made, newSession, serverChanged } = event.val;
      return ["McpServerReconnected", { ...session(made), new_session: newSession, server_changed: serverChanged }];
    }
    case "credentials-needed": {
      const { status, wwwAuthenticate: challenge } = event.val;
      return ["McpServerCredentialsNeeded", { status, challenge, reason: `the server wants other credentials (HTTP ${status})` }];
    }
    case "replayed":
      return ["McpRequestReplayed", { ...event.val }];
    case "outcome-unknown":
      return ["McpRequestOutcomeUnknown", { ...event.val }];
    default:
      return undefined;
  }
}

function session({ epoch, transport, protocolVersion, serverName, serverVersion }: types.SessionInfo): Facts {
  return {
    epoch: Number(epoch),
    transport: { "streamable-http": "http", "http-sse": "sse", other: "other" }[transport],
    protocol_version: protocolVersion,
    server_name: serverName,
    server_version: serverVersion,
  };
}
