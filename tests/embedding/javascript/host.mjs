// A host for guest/engine on Node's own HTTP: calls a tool for each line of standard input, whatever happens to the server.
// A line holds the parameters of a `tools/call`. Messages go to standard output, what happens to the connection to
// standard error.
//
//     jco transpile engine.wasm -o engine && node host.mjs engine/engine.js URL
import http from "node:http";
import https from "node:https";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [component, url] = process.argv.slice(2);
const { sansIo, types } = await import(pathToFileURL(component).href);

/** The engine's clock: nanoseconds that never go backwards. */
const now = () => process.hrtime.bigint();
/** The seed spreads the reconnects of many clients: each engine needs its own. */
const [seed] = crypto.getRandomValues(new BigUint64Array(1));
const engine = sansIo.Engine.open(new types.Options(url), seed, now());
const exchanges = new Map();
let timer;

/** Tells the engine what happened, does what it wants, in order, and waits for its deadline. */
function handle(input) {
  engine.handle(now(), input);
  for (const output of engine.pollOutputs(0)) {
    if (output.tag === "start") start(output.val);
    if (output.tag === "cancel") cancel(output.val);
    if (output.tag === "pause") exchanges.get(output.val)?.response?.pause();
    if (output.tag === "resume") exchanges.get(output.val)?.response?.resume();
    if (output.tag === "event") show(output.val);
    if (output.tag === "closed") process.exit(0);
  }
  clearTimeout(timer);
  const deadline = engine.deadline();
  if (deadline === undefined) return;
  const wait = Math.max(0, Math.ceil(Number(deadline - now()) / 1e6));
  // The longest that a timer takes; an early tick does no harm.
  timer = setTimeout(() => handle({ tag: "tick" }), Math.min(wait, 2 ** 31 - 1));
}

/** Makes a request and reports all that becomes of it. */
function start({ exchange, method, https: secure, authority, path, headers, body }) {
  const failed = (failure, detail) => report(exchange, { tag: "failed", val: { exchange, failure, detail } });
  let request;
  try {
    // Follows no redirect, and has no timeout of its own.
    request = (secure ? https : http).request(`${secure ? "https" : "http"}://${authority}${path}`, { method: method.toUpperCase() });
    for (const [name, value] of headers) request.appendHeader(name, value);
  } catch {
    // Not before the engine has been asked for all that it wants.
    exchanges.set(exchange, {});
    setImmediate(() => failed("unsendable", "Node does not accept the request"));
    return;
  }
  const running = { request };
  exchanges.set(exchange, running);
  // "Not sent" must be proven: there was no connection yet that the request could have gone over.
  let stage = "connect";
  request.on("socket", (socket) => {
    if (!socket.connecting) stage = undefined;
    socket.once("connect", () => (stage = secure ? "tls" : undefined));
    socket.once("secureConnect", () => (stage = undefined));
  });
  request.on("error", ({ code, message, syscall }) => failed(syscall === "getaddrinfo" ? "dns" : (stage ?? "lost"), code ?? message));
  request.on("finish", () => report(exchange, { tag: "sent", val: exchange }));
  request.on("response", (response) => {
    running.response = response;
    const bytes = (text) => Buffer.from(text, "latin1");
    const pairs = response.rawHeaders.flatMap((name, index, all) => (index % 2 ? [] : [[name, bytes(all[index + 1])]]));
    report(exchange, { tag: "response", val: { exchange, status: response.statusCode, headers: pairs } });
    response.on("data", (bytes) => report(exchange, { tag: "body", val: { exchange, bytes } }));
    response.on("end", () => report(exchange, { tag: "end", val: exchange }));
    response.on("error", ({ code, message }) => failed("lost", code ?? message));
  });
  request.end(method === "post" ? body : undefined);
}

/** Reports to the engine, unless the exchange is over or was cancelled. */
function report(exchange, input) {
  if (!exchanges.has(exchange)) return;
  if (input.tag === "end" || input.tag === "failed") exchanges.delete(exchange);
  handle(input);
}

function cancel(exchange) {
  const running = exchanges.get(exchange);
  exchanges.delete(exchange);
  running?.request?.destroy();
}

function show({ tag, val }) {
  if (tag !== "message") return console.error(tag, val ?? "");
  console.log(val);
  // On its own: a host gives the engine one input at a time.
  if (JSON.parse(val).id === 0) queueMicrotask(() => send({ method: "notifications/initialized" }));
}

function send(message) {
  handle({ tag: "message", val: JSON.stringify({ jsonrpc: "2.0", ...message }) });
}

const clientInfo = { name: "javascript-example", version: "0.1.0" };
send({ id: 0, method: "initialize", params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo } });
let calls = 0;
for await (const line of createInterface(process.stdin)) send({ id: ++calls, method: "tools/call", params: JSON.parse(line) });
handle({ tag: "close" });
