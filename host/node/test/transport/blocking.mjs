// WASI for the component `transport` on a thread that may block: the files that preview2-shim has for Node. Their faults that matter
// here, connections that stay open, are mended in this file.
import { clocks, http, io, random } from "@bytecodealliance/preview2-shim";
import { callExtension, inputStreamId, outputStreamId } from "@bytecodealliance/preview2-shim/io-worker";

const extension = new URL("io.mjs", import.meta.url);
export const dispose = Symbol.dispose ?? Symbol.for("dispose");

/** Does something on the shim's own thread. */
export function onIoThread(operation, args) {
  return callExtension(extension, operation, args);
}

const { FutureIncomingResponse, OutgoingBody, OutgoingRequest } = http.types;
const { InputStream } = io.streams;

/** Lets `action` see each call of a method before it is made, and what it gave. */
function watch({ prototype }, method, { before = () => {}, after = () => {} }) {
  const own = prototype[method];
  prototype[method] = function (...args) {
    before(this);
    const result = own.apply(this, args);
    after(this, result);
    return result;
  };
}

// The connection of a response that is dropped before its end: one for each event stream.
watch(InputStream, dispose, { before: (stream) => onIoThread("close", { id: inputStreamId(stream) }) });

// That of a request that is dropped before its response comes: one for each call that is cancelled. The shim tells nobody of its
// request; its body is the way there.
const bodies = new WeakMap();
const streams = new WeakMap();
const unanswered = new WeakMap();
watch(OutgoingRequest, "body", { after: (request, body) => bodies.set(request, body) });
watch(FutureIncomingResponse, "get", { after: (future, result) => result !== undefined && unanswered.delete(future) });
watch(FutureIncomingResponse, dispose, {
  before: (future) => unanswered.has(future) && onIoThread("abort", { id: unanswered.get(future) }),
});

const { write } = OutgoingBody.prototype;
OutgoingBody.prototype.write = function () {
  const stream = streams.get(this);
  streams.delete(this);
  return stream ?? write.call(this);
};

function handle(request, options) {
  const wanted = bodies.get(request);
  const body = wanted ?? request.body();
  const stream = body.write();
  const id = outputStreamId(stream);
  onIoThread("watch", { id });
  const response = http.outgoingHandler.handle(request, options);
  unanswered.set(response, id);
  if (wanted) {
    streams.set(body, stream);
  } else {
    // That of a request without a body: the shim waits for ever for the end of one that nobody asked for.
    OutgoingBody.finish(body, undefined);
    stream[dispose]?.();
    body[dispose]();
  }
  return response;
}

export const imports = {
  "wasi:clocks/monotonic-clock": clocks.monotonicClock,
  "wasi:http/outgoing-handler": { handle },
  "wasi:http/types": http.types,
  "wasi:io/error": io.error,
  "wasi:io/poll": io.poll,
  "wasi:io/streams": io.streams,
  "wasi:random/random": random.random,
};
