// A program: the component `transport` in a worker thread, for Node without JSPI.
import { randomUUID } from "node:crypto";
import { MessageChannel, Worker } from "node:worker_threads";

import { session } from "./session.mjs";

const [component, url] = process.argv.slice(2);
const wakes = `mcp-reconnect ${randomUUID()}`;
const bell = new BroadcastChannel(wakes);
const { port1, port2: calls } = new MessageChannel();
const worker = new Worker(new URL("worker.mjs", import.meta.url), { workerData: { url, component, calls, wakes }, transferList: [calls] });

const call = (method, ...args) => {
  port1.postMessage({ method, args });
  bell.postMessage(undefined);
};

let ticks = 0;
const timer = setInterval(() => (ticks += 1), 10);
await session({
  send: (message) => call("send", JSON.stringify(message)),
  reconnect: () => call("reconnect"),
  close: () => call("close"),
  ticks: () => ticks,
  listen: (listener) => worker.on("message", listener),
});
await new Promise((resolve) => worker.on("exit", resolve));
clearInterval(timer);
bell.close();
port1.close();
