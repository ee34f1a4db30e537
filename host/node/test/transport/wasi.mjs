// WASI for the component `transport` under jco with JSPI: the files that preview2-shim has for browsers, which wait with promises
// and work on Node, Bun and Deno too. Their faults that matter here are mended in this file.
import { runtime } from "../../src/fetch.ts";
import { fault } from "../../src/failure.ts";
import { clocks, http, io, random } from "@bytecodealliance/preview2-shim";

export const imports = {
  "wasi:clocks/monotonic-clock": { ...clocks.monotonicClock, subscribeInstant, subscribeDuration },
  "wasi:http/outgoing-handler": { handle },
  "wasi:http/types": http.types,
  "wasi:io/error": io.error,
  "wasi:io/poll": io.poll,
  "wasi:io/streams": io.streams,
  "wasi:random/random": random.random,
};

/** A pollable that is ready once `wake` was called: for the `until` of `receive`. */
export function interrupt() {
  let wake;
  const pollable = io.pollableCreate(new Promise((resolve) => (wake = resolve)));
  return { pollable, wake };
}

/** The longest wait of one timer, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

/** The shim's timers go on when nobody waits for them any more, and keep a finished program alive. */
function subscribeInstant(instant) {
  let timer;
  const pollable = io.pollableCreate(
    new Promise((resolve) => {
      const wait = () => {
        const left = Math.ceil(Number(instant - clocks.monotonicClock.now()) / 1e6);
        timer = left > 0 ? setTimeout(wait, Math.min(left, LONGEST)) : resolve();
      };
      wait();
    }),
  );
  pollable._onDispose(() => clearTimeout(timer));
  return pollable;
}

function subscribeDuration(duration) {
  return subscribeInstant(clocks.monotonicClock.now() + duration);
}

/**
 * The shim's `fetch`. Its own follows redirects, which the engine has to decide about; is left to the 300 s after which Node gives up
 * on a silent response; and tells of every failure that the request may have been sent, also of a refused connection.
 */
globalThis.mcpReconnectFetch = async (url, init) => {
  try {
    return await runtime(new URL(url), { ...init, redirect: "manual" }, () => {});
  } catch (error) {
    const { failure, detail } = fault(error);
    throw new Error(`${MARK}${failure} ${detail}`);
  }
};

const MARK = "mcp-reconnect:";

/** What `wasi:http` calls a failure before the request was sent. */
const CODES = {
  dns: (detail) => ({ tag: "DNS-error", val: { rcode: detail, infoCode: undefined } }),
  connect: () => ({ tag: "connection-refused" }),
  tls: () => ({ tag: "TLS-protocol-error" }),
  unsendable: () => ({ tag: "HTTP-request-denied" }),
  lost: (detail) => ({ tag: "internal-error", val: detail }),
};

function handle(request, options) {
  const future = http.outgoingHandler.handle(request, options);
  const get = future.get.bind(future);
  future.get = () => {
    const result = get();
    const text = result?.val?.val?.val;
    if (typeof text !== "string" || !text.startsWith(MARK)) return result;
    const [failure] = text.slice(MARK.length).split(" ", 1);
    const detail = text.slice(MARK.length + failure.length + 1);
    return { tag: "ok", val: { tag: "err", val: CODES[failure](detail) } };
  };
  return future;
}
