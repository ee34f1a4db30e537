// The component `transport` on a thread of its own, where `receive` may block. Events go to the parent, calls come from it.
import { readFileSync } from "node:fs";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";

import { futureDispose, futureSubscribe } from "@bytecodealliance/preview2-shim/io-worker";

import { dispose, imports, onIoThread } from "./blocking.mjs";

const { url, component, calls, wakes } = workerData;
onIoThread("listen", { name: wakes });
const { instantiate } = await import(new URL("transport.js", component));
const { client, types } = instantiate((name) => new WebAssembly.Module(readFileSync(new URL(name, component))), imports);
const options = new types.Options(url);
options.setResponseTimeout(1_000_000_000n);
const connection = client.Connection.open(options);

for (;;) {
  // Before the calls are looked for, so that none comes between.
  const next = onIoThread("next");
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
