// The host's `fetch`, freed from the limits that it has of its own: the engine has all the timers.

/** What the SDKs call a `fetch`, too. */
export type FetchLike = (url: string | URL, init?: RequestInit) => Promise<Response>;

/** @internal Makes a request and says when its body was handed to the network. */
export type Send = (url: URL, init: RequestInit, sent: () => void) => Promise<Response>;

/** @internal A program's own `fetch`, as it is. */
export function given(fetch: FetchLike): Send {
  return (url, init, sent) => {
    const response = fetch(url, init);
    // The best that can be known: it has the body.
    sent();
    return response;
  };
}

/** @internal The runtime's `fetch`. */
export const runtime: Send = (url, init, sent) => {
  const undici = dispatcher();
  if (undici) return globalThis.fetch(url, { ...init, dispatcher: patient(undici, sent) } as RequestInit);
  // Bun gives up after 5 minutes unless it is told not to; other runtimes pass over what they do not know.
  return given(globalThis.fetch)(url, { ...init, timeout: false } as RequestInit, sent);
};

/** What Node's `fetch` (undici) sends requests with. */
interface Dispatcher {
  dispatch(options: DispatchOptions, handler: unknown): boolean;
}

interface DispatchOptions {
  body?: unknown;
  headersTimeout?: number;
  bodyTimeout?: number;
}

/** What Node's `fetch` uses, with the proxy or the certificates that the program may have given it. Undefined elsewhere. */
function dispatcher(): Dispatcher | undefined {
  const { process } = globalThis as { process?: { versions?: { undici?: string } } };
  const undici = Number.parseInt(process?.versions?.undici ?? "");
  if (!(undici > 0)) return undefined;
  // Node loads undici on the first use of `Headers`, which an exchange has made before it comes here. Undici 7 (Node 24) sets both
  // and reads the older; the handlers of undici 8 (Node 26) fit the newer only.
  const symbol = Symbol.for(`undici.globalDispatcher.${undici < 8 ? 1 : 2}`);
  return (globalThis as unknown as Record<symbol, Dispatcher | undefined>)[symbol];
}

/** The same without undici's idle limits, 300 s each: a call that runs for an hour without a word would be lost to them. */
function patient(undici: Dispatcher, sent: () => void): Dispatcher {
  return {
    dispatch({ body, ...options }, handler) {
      return undici.dispatch({ ...options, body: watched(body, sent), headersTimeout: 0, bodyTimeout: 0 }, handler);
    },
  };
}

function watched(body: unknown, sent: () => void): unknown {
  const chunks = body as AsyncIterable<unknown> | null | undefined;
  if (typeof chunks?.[Symbol.asyncIterator] !== "function") return body;
  return (async function* () {
    yield* chunks;
    sent();
  })();
}
