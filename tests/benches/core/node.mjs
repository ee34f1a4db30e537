// The same script as in script.rs, under Node: a child that does what its stdin says, one JSON object a line, and answers each
// with one of its own. The arguments: the transpiled component, the SSE parser's module, the folder whose eventsource-parser is
// to be measured.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [componentPath, parserPath, packages] = process.argv.slice(2);
const { instantiate, MODULES } = await import(pathToFileURL(componentPath));
const require = createRequire(join(packages, "package.json"));
const { createParser } = require("eventsource-parser");

const URL_ = "http://127.0.0.1:9000/mcp";
const STEP = 1000n;
const ID_WIDTH = 12;
const encoder = new TextEncoder();

class Driver {
  #engine;
  #now = 0n;

  constructor() {
    const { sansIo, types } = instantiate((name) => new WebAssembly.Module(Buffer.from(MODULES[name], "base64")), {});
    this.#engine = sansIo.Engine.open(new types.Options(URL_), 7n, 0n);
  }

  /** Makes a session. */
  ready({ initialize, initialized, result }) {
    const [start] = this.#step({ tag: "message", val: initialize }).posts;
    const { posts } = this.#answer(start.exchange, "application/json", encoder.encode(`{"jsonrpc":"2.0","id":${wireId(start.body)}${result}`), 65536);
    posts.push(...this.#step({ tag: "message", val: initialized }).posts);
    for (let post; (post = posts.pop()); ) {
      posts.push(...this.#step({ tag: "response", val: { exchange: post.exchange, status: post.body.length === 0 ? 405 : 202, headers: [] } }).posts);
      posts.push(...this.#step({ tag: "end", val: post.exchange }).posts);
    }
    return this;
  }

  call({ call, answer, idAt, contentType, chunk }) {
    const { posts } = this.#step({ tag: "message", val: call });
    if (posts.length !== 1) throw new Error(`one POST a call, not ${posts.length}`);
    const id = String(wireId(posts[0].body)).padStart(ID_WIDTH);
    for (let at = 0; at < ID_WIDTH; at++) answer[idAt + at] = id.charCodeAt(at);
    const { messages } = this.#answer(posts[0].exchange, contentType, answer, chunk);
    if (messages.length !== 1) throw new Error(`one answer a call, not ${messages.length}`);
    return messages[0].length;
  }

  #answer(exchange, contentType, body, chunk) {
    const all = this.#step({ tag: "sent", val: exchange });
    const step = (input) => {
      const { posts, messages } = this.#step(input);
      all.posts.push(...posts);
      all.messages.push(...messages);
    };
    step({ tag: "response", val: { exchange, status: 200, headers: [["content-type", encoder.encode(contentType)]] } });
    for (let at = 0; at < body.length; at += chunk) step({ tag: "body", val: { exchange, bytes: body.subarray(at, at + chunk) } });
    step({ tag: "end", val: exchange });
    return all;
  }

  #step(input) {
    this.#now += STEP;
    this.#engine.handle(this.#now, input);
    const posts = [];
    const messages = [];
    for (const output of this.#engine.pollOutputs(0)) {
      if (output.tag === "start") posts.push(output.val);
      else if (output.tag === "event" && output.val.tag === "message") messages.push(output.val.val);
    }
    this.#engine.deadline();
    return { posts, messages };
  }
}

function wireId(body) {
  let id = 0;
  for (let at = '{"jsonrpc":"2.0","id":'.length; body[at] >= 48 && body[at] <= 57; at++) id = id * 10 + body[at] - 48;
  return id;
}

/** npm eventsource-parser: it takes text, so the bytes are decoded first, as they have to be. */
function npmParser(stream, chunk) {
  let events = 0;
  const parser = createParser({ onEvent: () => events++ });
  const decoder = new TextDecoder();
  for (let at = 0; at < stream.length; at += chunk) parser.feed(decoder.decode(stream.subarray(at, at + chunk), { stream: true }));
  return events;
}

/** The engine's parser as WebAssembly. */
function wasmParser(stream) {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(parserPath)));
  const at = exports.room(stream.length);
  new Uint8Array(exports.memory.buffer).set(stream, at);
  return (chunk) => exports.parse(at, stream.length, chunk);
}

const calls = new Map();
const streams = new Map();

const orders = {
  /** A new engine for each kind of call, as on the other side. */
  calls({ name, session, ...texts }) {
    calls.set(name, { driver: new Driver().ready(session), texts: { ...texts, answer: encoder.encode(texts.answer) } });
    return {};
  },
  run({ name, count }) {
    const { driver, texts } = calls.get(name);
    let bytes = 0;
    const began = process.hrtime.bigint();
    for (let done = 0; done < count; done++) bytes += driver.call(texts);
    return { nanoseconds: Number(process.hrtime.bigint() - began), bytes };
  },
  stream({ name, text }) {
    const stream = encoder.encode(text);
    streams.set(name, { npm: (chunk) => npmParser(stream, chunk), wasm: wasmParser(stream) });
    return {};
  },
  parse({ name, parser, chunk, count }) {
    const parse = streams.get(name)[parser];
    let events = 0;
    const began = process.hrtime.bigint();
    for (let done = 0; done < count; done++) events += parse(chunk);
    return { nanoseconds: Number(process.hrtime.bigint() - began), events };
  },
};

console.log(JSON.stringify({ node: process.version, parser: require("eventsource-parser/package.json").version }));
for await (const line of createInterface({ input: process.stdin })) {
  const { order, ...rest } = JSON.parse(line);
  console.log(JSON.stringify(orders[order](rest)));
}
