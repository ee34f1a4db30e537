// The component `transport` on a thread of its own, where `receive` may block. Events go to the parent, calls come from it.
import { readFileSync } from "node:fs";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";

import { clocks, http, io, random } from "@bytecodealliance/preview2-shim";
import { callExtension, futureDispose, futureSubscribe, inputStreamId } from "@bytecodealliance/preview2-shim/io-worker";

const { url, component, calls, wakes } = workerData;
const extension = new URL("io.mjs", import.meta.url);
callExtension(extension, "listen", { name: wakes });

// The shim keeps the connection of a response whose stream is dropped before its end: one for each event stream.
const dispose = Symbol.dispose ?? Symbol.for("dispose");
const { prototype } = io.streams.InputStream;
const drop = prototype[dispose];
prototype[dispose] = function () {
  callExtension(extension, "destroy", { id: inputStreamId(this) });
  drop.call(this);
};

// The shim waits for ever for the end of a body that nobody asked for, as GET and DELETE have, and does not use their connections
// again.
function handle(request, options) {
  const { OutgoingBody } = http.types;
  let body;
  try {
    body = request.body();
  } catch {
    // The component has asked for it.
  }
  const response = http.outgoingHandler.handle(request, options);
  if (body) OutgoingBody.finish(body, undefined);
  body?.[dispose]();
  return response;
}

const { instantiate } = await import(new URL("transport.js", component));
const { client, types } = instantiate((name) => new WebAssembly.Module(readFileSync(new URL(name, component))), {
  "wasi:clocks/monotonic-clock": clocks.monotonicClock,
  "wasi:http/outgoing-handler": { handle },
  "wasi:http/types": http.types,
  "wasi:io/error": io.error,
  "wasi:io/poll": io.poll,
  "wasi:io/streams": io.streams,
  "wasi:random/random": random.random,
});
const connection = client.Connection.open(new types.Options(url));

for (;;) {
  // Before the calls are looked for, so that none comes between.
  const next = callExtension(extension, "next");
  for (let call; (call = receiveMessageOnPort(calls)); ) connection[call.message.method](...call.message.args);
  const until = futureSubscribe(next);
  try {
    for (const event of connection.receive(0, until)) parentPort.postMessage(event);
  } catch (error) {
    if ((error?.payload ?? error)?.tag !== "closed") throw error;
    break;
  } finally {
    until[dispose]();
    futureDispose(next);
  }
}
process.exit();
