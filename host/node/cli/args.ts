// The command line: that of the native command, with its words.
import { constants } from "node:buffer";
import { parseArgs } from "node:util";

import type { ReconnectingTransportOptions } from "../src/options.js";
import { duration, durationOrOff, Refused } from "./duration.js";
import type { Addresses } from "./connector.js";
import { expand, type Lookup } from "./expand.js";
import { header, headerFromEnvironment } from "./header.js";
import type { HeaderArgs } from "./header-sources.js";
import { HOOK_NAMES, type HookName } from "./hook-event.js";
import type { HookOptions } from "./hooks.js";
import { LEVELS, type LogLevel } from "./log.js";
import { foreignOption, missingScheme } from "./hint.js";
import { nearest } from "./nearest.js";
import type { ProxyArgs } from "./proxy.js";
import { resolution } from "./resolve.js";
import { size } from "./size.js";
import type { TlsArgs } from "./tls.js";
import { linesOf, switchOf, URL_VARIABLE, variableOf } from "./variable.js";

/** Which server, and by which way. */
export interface Way {
  url: string;
  headers: HeaderArgs;
  tls: TlsArgs;
  proxy: ProxyArgs;
  addresses: Addresses[];
  options: ReconnectingTransportOptions;
}

/** What the bridge is to do. */
export interface BridgeArgs extends Way {
  hook: HookOptions | undefined;
  log: LogLevel;
  /** Each line of the log is a JSON object. */
  json: boolean;
  maxMessageBytes: number;
}

/** What `check` is to do. */
export interface CheckArgs extends Way {
  /** How long it all may take, in milliseconds. */
  limit: number;
  /** The result is written as JSON. */
  json: boolean;
  /** Each step is shown, also where nobody watches. */
  verbose: boolean;
}

/** What the command line asks for. */
export type Command = { help: "bridge" | "check" } | { version: true } | BridgeArgs | CheckArgs;

/** How long a hook may run, the header file be read, and the header command run, unless it is said; in milliseconds. */
const TIMEOUT = 10_000;

/** The largest message from the client, unless it is said. */
const MAX_MESSAGE_BYTES = 64 << 20;

interface Option {
  /** What stands for its value; none: it has no value. */
  value?: string;
  short?: string;
  multiple?: true;
  choices?: readonly string[];
  /** Several of the choices may be given, with commas between them. */
  several?: true;
  /** The choices are taken in any case. */
  anyCase?: true;
  /** The value must not be empty. */
  filled?: true;
  /** The option without which it means nothing. */
  requires?: string;
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
  "header-env": { value: "NAME=VAR", multiple: true, help: "'Name=VAR': a header with the value of this variable" },
  "header-file": { value: "FILE", help: "A file of such lines, read anew for each session" },
  "header-command": { value: "COMMAND", filled: true, help: "A command that prints them, run for each session" },
  "header-timeout": { value: "TIME", read: duration, help: "How long either may take [default: 10s]" },
  "url-env": { value: "VAR", help: "Take the URL from this environment variable" },
  "ca-cert": { value: "FILE", multiple: true, help: "Trust the certificates in this PEM file too" },
  "client-cert": { value: "FILE", help: "Show this certificate to the server (PEM)" },
  "client-key": { value: "FILE", help: "Its private key, if it is not in the same file" },
  proxy: { value: "URL", help: "Use this proxy; ${VAR} is expanded, '' is none" },
  "no-proxy": { value: "HOSTS", help: "No proxy for these, comma-separated, or '*'" },
  resolve: { value: "ENTRY", multiple: true, help: "HOST:PORT:ADDRESS[,ADDRESS] in place of a name lookup" },
  "on-event": { value: "COMMAND", filled: true, help: "A command to run for each event, JSON on its stdin" },
  event: {
    value: "NAME",
    multiple: true,
    choices: HOOK_NAMES,
    anyCase: true,
    requires: "on-event",
    help: "Only for such an event, as McpServerDisconnected",
  },
  "all-attempts": { requires: "on-event", help: "Also for each further attempt of an outage, at most once a second" },
  name: { value: "NAME", filled: true, help: "Your name for the server, for the command" },
  "event-timeout": { value: "TIME", read: duration, requires: "on-event", help: "How long the command may run [default: 10s]" },
  log: {
    value: "LEVEL",
    choices: [...LEVELS, "json"],
    several: true,
    help: "off, error, warn, info, debug, trace, json [default: info]",
  },
  "notify-client": { sets: "notifyClient", help: "Tell the client too, with notifications/message" },
  heartbeat: {
    value: "TIME",
    read: durationOrOff,
    sets: "heartbeatInterval",
    help: "Silence after which the server is pinged, or off [default: 30s]",
  },
  "heartbeat-timeout": {
    value: "TIME",
    read: duration,
    sets: "heartbeatTimeout",
    help: "How long a ping may stay unanswered [default: 10s]",
  },
  "heartbeat-strict": { sets: "heartbeatStrict", help: "An unanswered ping counts even while a request runs" },
  "listen-check": {
    value: "TIME",
    read: durationOrOff,
    sets: "listenCheckInterval",
    help: "Checks of a server whose listen stream is open, or off [default: 1s]",
  },
  "request-timeout": {
    value: "TIME",
    read: duration,
    sets: "runTimeout",
    help: "How long a request may run without progress [default: 1h]",
  },
  "old-session-timeout": {
    value: "TIME",
    read: durationOrOff,
    sets: "oldSessionTimeout",
    help: "Silence of a replaced session's request, or off [default: 5m]",
  },
  "hold-timeout": {
    value: "TIME",
    read: duration,
    sets: "holdTimeout",
    help: "How long a request may wait for an absent server [default: 3m]",
  },
  "start-timeout": {
    value: "TIME",
    read: durationOrOff,
    sets: "startTimeout",
    help: "How long initialize may wait for it, or off [default: 20s]",
  },
  "max-event-bytes": { value: "SIZE", read: size, sets: "maxEventBytes", help: "The largest server-sent event [default: 16M]" },
  "max-body-bytes": { value: "SIZE", read: size, sets: "maxBodyBytes", help: "The largest JSON answer [default: 64M]" },
  "max-total-body-bytes": {
    value: "SIZE",
    read: size,
    sets: "maxTotalBodyBytes",
    help: "All answers that are being read at once [default: 128M]",
  },
  "max-message-bytes": { value: "SIZE", read: size, sets: "maxMessageBytes", help: "The largest message from the client [default: 64M]" },
  "discover-first": { sets: "discoverFirst", help: "Ask with server/discover first, and translate for an older client" },
  "trust-annotations": { sets: "trustAnnotations", help: "Repeat a lost call of a read-only or idempotent tool" },
  help: { short: "h", help: "Print help" },
  version: { short: "V", help: "Print version" },
};

/** The options of the bridge that say which server, and by which way. */
const WAY = [
  "transport",
  "header",
  "header-env",
  "header-file",
  "header-command",
  "header-timeout",
  "url-env",
  "ca-cert",
  "client-cert",
  "client-key",
  "proxy",
  "no-proxy",
  "resolve",
];

const CHECK_OPTIONS: Record<string, Option> = {
  ...Object.fromEntries(WAY.map((name) => [name, OPTIONS[name]!])),
  timeout: { value: "TIME", read: duration, help: "How long it all may take [default: 20s]" },
  json: { help: "Write the result as JSON" },
  verbose: { short: "v", help: "Show each step on stderr, also where that is no terminal" },
  help: { short: "h", help: "Print help" },
};

/** How long a check may take, unless it is said; in milliseconds. */
const CHECK_TIMEOUT = 20_000;

/** The native command's own, and what to do instead. */
const NATIVE_COMMANDS = ["completions", "demo", "demo-server", "login", "logout", "man", "status", "unwrap", "wrap"];

/** How to get it. With it installed this command hands everything on to it. */
const NATIVE_PACKAGE = `npm has it for common platforms as an optional dependency of this package, here @mcp-reconnect/${process.platform}-${process.arch}; see the project's README`;

/** Reads the command line. Throws `Refused` with what is wrong, on one line, how to mend it, and without a secret. */
export function read(args: string[], lookup: Lookup): Command {
  if (args[0] === "help") return { help: args[1] === "check" ? "check" : "bridge" };
  return args[0] === "check" ? readCheck(args.slice(1), lookup) : readBridge(args, lookup);
}

/** What stands in a command line: its words that are no options, the options' values by their names, and those of the transport. */
interface Given {
  words: string[];
  values: Map<string, unknown[]>;
  options: ReconnectingTransportOptions;
}

function parse(args: string[], table: Record<string, Option>, lookup: Lookup): Given | "help" | "version" {
  const options: ReconnectingTransportOptions = {};
  const words: string[] = [];
  const given = new Map<string, unknown[]>();
  for (const token of tokens(args, table)) {
    if (token.kind === "positional") words.push(token.value);
    if (token.kind !== "option") continue;
    const name = known(token.name, token.rawName, table);
    const option = table[name]!;
    // As in -H='Name: value'.
    const short = !token.rawName.startsWith("--") && token.inlineValue ? token.value?.replace(/^=/, "") : token.value;
    const value = valueOf(name, option, { value: short, inlineValue: token.inlineValue });
    if (name === "help" || name === "version") return name;
    const before = given.get(name) ?? [];
    if (!option.multiple && before.length > 0) throw new Refused(`the argument '${usage(name, option)}' cannot be used multiple times`);
    given.set(name, [...before, value]);
    if (option.sets) Object.assign(options, { [option.sets]: value });
  }
  fromEnvironment(given, options, table, lookup);
  for (const name of given.keys()) {
    const needed = table[name]!.requires;
    if (needed && !given.has(needed))
      throw new Refused(`the following required arguments were not provided: ${usage(needed, table[needed]!)}`);
  }
  return { words, values: given, options };
}

function wayOf({ words, values, options }: Given, lookup: Lookup): Way {
  const one = <T>(name: string) => values.get(name)?.[0] as T | undefined;
  const all = <T>(name: string) => (values.get(name) ?? []) as T[];
  return {
    url: theUrl(words, one("url-env"), lookup),
    headers: {
      fixed: [
        ...all<string>("header").map((text) => header(text, lookup)),
        ...all<string>("header-env").map((text) => headerFromEnvironment(text, lookup)),
      ],
      file: one("header-file"),
      command: one("header-command"),
      timeout: one("header-timeout") ?? TIMEOUT,
    },
    tls: { caCerts: all("ca-cert"), clientCert: one("client-cert"), clientKey: one("client-key") },
    proxy: { proxy: proxy(one("proxy"), lookup), noProxy: one("no-proxy") },
    addresses: all<string>("resolve").map(resolution),
    options,
  };
}

function readCheck(args: string[], lookup: Lookup): Command {
  const given = parse(args, CHECK_OPTIONS, lookup);
  if (typeof given === "string") return { help: "check" };
  const limit = given.values.get("timeout")?.[0] as number | undefined;
  return { ...wayOf(given, lookup), limit: limit ?? CHECK_TIMEOUT, json: given.values.has("json"), verbose: given.values.has("verbose") };
}

function readBridge(args: string[], lookup: Lookup): Command {
  const given = parse(args, OPTIONS, lookup);
  if (given === "help") return { help: "bridge" };
  if (given === "version") return { version: true };
  const { options } = given;
  const one = <T>(name: string) => given.values.get(name)?.[0] as T | undefined;
  const all = <T>(name: string) => (given.values.get(name) ?? []) as T[];
  const words = (one<string>("log")?.split(",") ?? []) as (LogLevel | "json")[];
  const command = one<string>("on-event");
  const names = all<HookName>("event");
  // A message must fit into a string.
  const maxMessageBytes = Math.min(options.maxMessageBytes ?? MAX_MESSAGE_BYTES, constants.MAX_STRING_LENGTH);
  return {
    ...wayOf(given, lookup),
    hook:
      command === undefined
        ? undefined
        : {
            command,
            names,
            allAttempts: given.values.has("all-attempts"),
            timeout: one("event-timeout") ?? TIMEOUT,
            name: one("name") ?? "",
          },
    log: words.findLast((word): word is LogLevel => word !== "json") ?? "info",
    json: words.includes("json"),
    maxMessageBytes,
    options: { ...options, maxMessageBytes },
  };
}

/** Adds what the environment has and the command line has not. */
function fromEnvironment(
  given: Map<string, unknown[]>,
  options: BridgeArgs["options"],
  table: Record<string, Option>,
  lookup: Lookup,
): void {
  for (const [name, option] of Object.entries(table)) {
    const variable = variableOf(name);
    const text = lookup(variable);
    if (!text || given.has(name) || name === "help" || name === "version") continue;
    try {
      if (!option.value && !switchOf(text)) continue;
      const texts = !option.value ? [undefined] : option.multiple ? linesOf(text) : [text];
      const values = texts.map((value) => valueOf(name, option, { value, inlineValue: value !== undefined }));
      if (values.length > 0) given.set(name, values);
      if (option.sets) Object.assign(options, { [option.sets]: values[0] });
    } catch (error) {
      throw error instanceof Refused ? new Refused(`${variable}: ${error.message}`) : error;
    }
  }
}

function theUrl([word, second]: string[], variable: string | undefined, lookup: Lookup): string {
  if (word !== undefined && !word.includes("://")) {
    const meant = NATIVE_COMMANDS.includes(word) ? word : nearest(word, NATIVE_COMMANDS);
    if (meant) throw new Refused(`${meant} is a part of the native command; install that: ${NATIVE_PACKAGE}`);
  }
  if (second !== undefined) {
    const shown = shownUrl(second);
    // A word that is no URL is perhaps a token.
    if (!shown) throw new Refused("there are more words than one URL; is a --header without quotes? write --header 'Name: value'");
    throw new Refused(`'${shown}' is one URL too many; give each server a bridge of its own`);
  }
  if (variable === undefined) {
    const url = word ?? (lookup(URL_VARIABLE) || undefined);
    if (url === undefined) throw new Refused("the server's URL is missing; write mcp-reconnect https://HOST/PATH");
    const problem = word === undefined ? undefined : missingScheme(word);
    if (problem) throw new Refused(problem);
    return url;
  }
  if (word !== undefined) throw new Refused("there are two URLs, one of them from --url-env; give one");
  const url = lookup(variable);
  if (url === undefined) throw new Refused(`--url-env needs the environment variable ${variable}, which is not set`);
  return url;
}

/** The server's URL without what may be secret in it: the query. Empty where it is not one. */
export function shownUrl(text: string): string {
  try {
    const { protocol, host, pathname, username, password } = new URL(text);
    return /^https?:$/.test(protocol) && !username && !password ? `${protocol}//${host}${pathname}` : "";
  } catch {
    return "";
  }
}

function proxy(url: string | undefined, lookup: Lookup): string | undefined {
  try {
    return url === undefined ? undefined : expand(url, lookup);
  } catch (error) {
    throw error instanceof Refused ? new Refused(`--proxy ${error.message}`) : error;
  }
}

function tokens(args: string[], table: Record<string, Option>) {
  const types = Object.entries(table).map(
    ([name, { value, short }]) => [name, { type: value ? "string" : "boolean", ...(short && { short }) }] as const,
  );
  return parseArgs({ args, options: Object.fromEntries(types), strict: false, tokens: true }).tokens;
}

function known(name: string, written: string, table: Record<string, Option>): string {
  if (Object.hasOwn(table, name)) return name;
  const hint = foreignOption(written);
  if (hint) throw new Refused(`unexpected argument '${written}' found; ${hint}`);
  const similar = written.startsWith("--") ? nearest(name, Object.keys(table)) : undefined;
  throw new Refused(`unexpected argument '${written}' found${similar ? `; a similar argument exists: '--${similar}'` : ""}`);
}

function valueOf(
  name: string,
  option: Option,
  { value, inlineValue }: { value: string | undefined; inlineValue: boolean | undefined },
): unknown {
  if (!option.value) {
    if (value !== undefined) throw new Refused(`unexpected value '${value}' for '--${name}' found; no more were expected`);
    return true;
  }
  const what = usage(name, option);
  const choices = option.choices ? ` [possible values: ${option.choices.join(", ")}]` : "";
  if (!inlineValue && value !== undefined && /^-./.test(value)) throw new Refused(`unexpected argument '${value.split("=", 1)[0]}' found`);
  if (value === undefined || (value === "" && (option.choices || option.filled)))
    throw new Refused(`a value is required for '${what}' but none was supplied${choices}`);
  if (option.choices) {
    const plain = (text: string) => (option.anyCase ? text.toLowerCase() : text);
    const choose = (text: string) => {
      const chosen = option.choices!.find((choice) => plain(choice) === plain(text));
      if (chosen === undefined) throw new Refused(`invalid value '${text}' for '${what}'${choices}`);
      return chosen;
    };
    return option.several ? value.split(",").map(choose).join(",") : choose(value);
  }
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

function rowsOf(table: Record<string, Option>): string {
  const rows = Object.entries(table).map(([name, option]) => [
    `${option.short ? `-${option.short}, ` : "    "}${usage(name, option)}`,
    option.help,
  ]);
  const width = Math.max(...rows.map(([left]) => left!.length)) + 2;
  return rows.map(([left, right]) => `  ${left!.padEnd(width)}${right}`).join("\n");
}

/** What `check --help` prints. */
export function checkHelp(): string {
  return `Finds out how a server behaves, and how well it takes restarts.

Usage: mcp-reconnect check [OPTIONS] URL

Options:
${rowsOf(CHECK_OPTIONS)}

TIME is 500ms, 30s, 5m or 1h.
Exit codes: 0 all is well, 1 it works with a problem (or mcp-reconnect itself failed), 2 the command line is wrong,
3 the server cannot be reached, 4 it wants other credentials, 5 something answers that is no MCP server,
130 interrupted.
`;
}

/** What `--help` prints. */
export function help(): string {
  return `Connects an MCP client on stdio to a remote MCP server, and outlives the server's restarts.

Usage: mcp-reconnect [OPTIONS] URL
       mcp-reconnect check [OPTIONS] URL

Options:
${rowsOf(OPTIONS)}

URL is the server's MCP endpoint (Streamable HTTP) or its SSE URL (HTTP+SSE).
TIME is 500ms, 30s, 5m or 1h; SIZE is 65536, 64K or 16M.
Signals: SIGHUP begins a new session, SIGUSR1 writes the status to stderr, SIGTERM and SIGINT end.
Exit codes: 0 the client or a signal ended it, 1 an internal failure, 2 the command line is wrong.

Variables: MCP_RECONNECT_LOG for --log, and so on for each option.
This is the WebAssembly command. The native one, which npm installs beside it on common platforms, reads a
configuration file too, and has the commands demo, login, status, wrap and unwrap.

For Claude Code:  claude mcp add jarvis -- npx -y mcp-reconnect https://jarvis.internal/sse
`;
}
