// The command line: that of the native command, with its words.
import { constants } from "node:buffer";
import { parseArgs } from "node:util";

import type { ReconnectingTransportOptions } from "../src/options.js";
import { duration, durationOrOff, Refused } from "./duration.js";
import type { Lookup } from "./expand.js";
import { header } from "./header.js";
import { LEVELS, type LogLevel } from "./log.js";
import { nearest } from "./nearest.js";
import { size } from "./size.js";

/** What the bridge is to do. */
export interface BridgeArgs {
  url: string;
  headers: [string, string][];
  log: LogLevel;
  maxMessageBytes: number;
  options: ReconnectingTransportOptions;
}

/** What the command line asks for. */
export type Command = { help: true } | { version: true } | BridgeArgs;

/** The largest message from the client, unless it is said. */
const MAX_MESSAGE_BYTES = 64 << 20;

interface Option {
  /** What stands for its value; none: it has no value. */
  value?: string;
  short?: string;
  multiple?: true;
  choices?: readonly string[];
  /** For the help. */
  help: string;
  /** Reads the value. Throws `Refused`. */
  read?: (text: string) => unknown;
  /** The transport's option that it sets. */
  sets?: keyof ReconnectingTransportOptions;
}

const OPTIONS: Record<string, Option> = {
  transport: {
    value: "NAME",
    choices: ["auto", "http", "sse"],
    sets: "transport",
    help: "http (Streamable HTTP), sse (HTTP+SSE) or auto [default: auto]",
  },
  header: { value: "HEADER", short: "H", multiple: true, help: "'Name: value' for every request; ${VAR} is expanded" },
  log: { value: "LEVEL", choices: LEVELS, help: "For stderr: off, error, warn, info, debug or trace [default: info]" },
  "notify-client": { sets: "notifyClient", help: "Tell the client too, with notifications/message" },
  heartbeat: {
    value: "TIME",
    read: durationOrOff,
    sets: "heartbeatInterval",
    help: "Silence after which the server is pinged, or off [default: 30s]",
  },
  "heartbeat-timeout": { value: "TIME", read: duration, sets: "heartbeatTimeout", help: "How long a ping may stay unanswered [default: 10s]" },
  "heartbeat-strict": { sets: "heartbeatStrict", help: "An unanswered ping counts even while a request runs" },
  "request-timeout": { value: "TIME", read: duration, sets: "runTimeout", help: "How long a request may run without progress [default: 1h]" },
  "hold-timeout": { value: "TIME", read: duration, sets: "holdTimeout", help: "How long a request may wait for an absent server [default: 3m]" },
  "start-timeout": { value: "TIME", read: durationOrOff, sets: "startTimeout", help: "How long initialize may wait for it, or off [default: 20s]" },
  "max-event-bytes": { value: "SIZE", read: size, sets: "maxEventBytes", help: "The largest server-sent event [default: 16M]" },
  "max-body-bytes": { value: "SIZE", read: size, sets: "maxBodyBytes", help: "The largest JSON answer [default: 64M]" },
  "max-message-bytes": { value: "SIZE", read: size, sets: "maxMessageBytes", help: "The largest message from the client [default: 64M]" },
  "trust-annotations": { sets: "trustAnnotations", help: "Repeat a lost call of a read-only or idempotent tool" },
  help: { short: "h", help: "Print help" },
  version: { short: "V", help: "Print version" },
};

const NATIVE = "an option of the native command only";

/** Options of the native command that do not exist here, and what to do instead. */
const NATIVE_OPTIONS: Record<string, string> = {
  "ca-cert": `${NATIVE}; with npx, set NODE_EXTRA_CA_CERTS=FILE in the environment`,
  "client-cert": `${NATIVE}; install it, see the project's README`,
  "client-key": `${NATIVE}; install it, see the project's README`,
  proxy: `${NATIVE}; with npx and Node 24 or newer, set NODE_USE_ENV_PROXY=1 and HTTPS_PROXY in the environment`,
  "no-proxy": `${NATIVE}; with npx and Node 24 or newer, set NODE_USE_ENV_PROXY=1 and NO_PROXY in the environment`,
  resolve: `${NATIVE}; install it, see the project's README`,
  "header-file": `${NATIVE}; install it, or write --header 'Name: \${VAR}' with an environment variable`,
  "header-command": `${NATIVE}; install it, or write --header 'Name: \${VAR}' with an environment variable`,
  "header-timeout": `${NATIVE}; install it, see the project's README`,
  "on-event": `${NATIVE}; install it, see the project's README`,
  event: `${NATIVE}; install it, see the project's README`,
  "event-timeout": `${NATIVE}; install it, see the project's README`,
};

/** Reads the command line. Throws `Refused` with what is wrong, on one line, how to mend it, and without a secret. */
export function read(args: string[], lookup: Lookup): Command {
  if (args[0] === "demo") throw new Refused("the demonstration is a part of the native command; install that, see the project's README");
  const options: BridgeArgs["options"] = {};
  const urls: string[] = [];
  const headers: string[] = [];
  let log: LogLevel = "info";
  const seen = new Set<string>();
  for (const token of tokens(args)) {
    if (token.kind === "positional") urls.push(token.value);
    if (token.kind !== "option") continue;
    const name = known(token.name, token.rawName);
    const option = OPTIONS[name]!;
    // As in -H='Name: value'.
    const short = !token.rawName.startsWith("--") && token.inlineValue ? token.value?.replace(/^=/, "") : token.value;
    const value = valueOf(name, option, { value: short, inlineValue: token.inlineValue });
    if (name === "help") return { help: true };
    if (name === "version") return { version: true };
    if (!option.multiple && seen.has(name)) throw new Refused(`the argument '${usage(name, option)}' cannot be used multiple times`);
    seen.add(name);
    if (name === "header") headers.push(value as string);
    if (name === "log") log = value as LogLevel;
    if (option.sets) Object.assign(options, { [option.sets]: value });
  }
  const [url, second] = urls;
  if (url === undefined) throw new Refused("the server's URL is missing; write mcp-reconnect https://HOST/PATH");
  if (second !== undefined) throw new Refused(`'${second}' is one URL too many; give each server a bridge of its own`);
  // A message must fit into a string.
  const maxMessageBytes = Math.min(options.maxMessageBytes ?? MAX_MESSAGE_BYTES, constants.MAX_STRING_LENGTH);
  return { url, headers: headers.map((text) => header(text, lookup)), log, maxMessageBytes, options: { ...options, maxMessageBytes } };
}

function tokens(args: string[]) {
  const types = Object.entries(OPTIONS).map(([name, { value, short }]) => [name, { type: value ? "string" : "boolean", ...(short && { short }) }] as const);
  return parseArgs({ args, options: Object.fromEntries(types), strict: false, tokens: true }).tokens;
}

function known(name: string, written: string): string {
  if (Object.hasOwn(OPTIONS, name)) return name;
  const native = Object.hasOwn(NATIVE_OPTIONS, name) && written.startsWith("--") ? NATIVE_OPTIONS[name] : undefined;
  if (native) throw new Refused(`'--${name}' is ${native}`);
  const similar = written.startsWith("--") ? nearest(name, Object.keys(OPTIONS)) : undefined;
  throw new Refused(`unexpected argument '${written}' found${similar ? `; a similar argument exists: '--${similar}'` : ""}`);
}

function valueOf(name: string, option: Option, { value, inlineValue }: { value: string | undefined; inlineValue: boolean | undefined }): unknown {
  if (!option.value) {
    if (value !== undefined) throw new Refused(`unexpected value '${value}' for '--${name}' found; no more were expected`);
    return true;
  }
  const what = usage(name, option);
  const choices = option.choices ? ` [possible values: ${option.choices.join(", ")}]` : "";
  if (!inlineValue && value !== undefined && /^-./.test(value)) throw new Refused(`unexpected argument '${value.split("=", 1)[0]}' found`);
  if (value === undefined || (value === "" && option.choices)) throw new Refused(`a value is required for '${what}' but none was supplied${choices}`);
  if (option.choices && !option.choices.includes(value)) throw new Refused(`invalid value '${value}' for '${what}'${choices}`);
  if (!option.read) return value;
  try {
    return option.read(value);
  } catch (error) {
    throw error instanceof Refused ? new Refused(`invalid value '${value}' for '${what}': ${error.message}`) : error;
  }
}

function usage(name: string, { value }: Option): string {
  return value ? `--${name} <${value}>` : `--${name}`;
}

/** What `--help` prints. */
export function help(): string {
  const rows = Object.entries(OPTIONS).map(([name, option]) => [`${option.short ? `-${option.short}, ` : "    "}${usage(name, option)}`, option.help]);
  const width = Math.max(...rows.map(([left]) => left!.length)) + 2;
  return `Connects an MCP client on stdio to a remote MCP server, and outlives the server's restarts.

Usage: mcp-reconnect [OPTIONS] URL

Options:
${rows.map(([left, right]) => `  ${left!.padEnd(width)}${right}`).join("\n")}

URL is the server's MCP endpoint (Streamable HTTP) or its SSE URL (HTTP+SSE).
TIME is 500ms, 30s, 5m or 1h; SIZE is 65536, 64K or 16M.
Signals: SIGHUP begins a new session, SIGUSR1 writes the status to stderr, SIGTERM and SIGINT end.
Exit codes: 0 the client or a signal ended it, 1 an internal failure, 2 the command line is wrong.

For Claude Code:  claude mcp add jarvis -- npx -y mcp-reconnect https://jarvis.internal/sse
`;
}
