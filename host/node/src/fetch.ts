// The host's `fetch`, freed from the limits that it has of its own: the engine has all the timers.

import { HEAD_BYTES, isTooLarge, TOO_LARGE } from "./failure.js";

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
  if (undici) {
    const agent = roomy(undici);
    const response = globalThis.fetch(url, { ...init, dispatcher: patient(agent ?? undici, sent) } as RequestInit);
    return agent ? response.catch((error) => Promise.reject(isTooLarge(error) ? new Error(TOO_LARGE) : error)) : response;
  }
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
  const undici = Number.parseInt(process?.versions?.undici ?? "", 10);
  if (!(undici > 0)) return undefined;
  // Node loads undici on the first use of `Headers`, which an exchange has made before it comes here. Undici 7 (Node 24) sets both
  // and reads the older; the handlers of undici 8 (Node 26) fit the newer only.
  const symbol = Symbol.for(`undici.globalDispatcher.${undici < 8 ? 1 : 2}`);
  return (globalThis as unknown as Record<symbol, Dispatcher | undefined>)[symbol];
}

/** For each agent of the runtime one that takes larger heads; null: it is the program's own. */
const roomier = new WeakMap<Dispatcher, Dispatcher | null>();

/** Undici's own agent with the native host's limit in the place of 16 KiB, which is an agent's and no request's to set. Undefined for
 * what the program has set: it may lead elsewhere, with other certificates. */
function roomy(undici: Dispatcher): Dispatcher | undefined {
  let agent = roomier.get(undici);
  if (agent === undefined) {
    agent = isDefault(undici) ? new (undici.constructor as AgentClass)({ maxHeaderSize: HEAD_BYTES }) : null;
    roomier.set(undici, agent);
  }
  return agent ?? undefined;
}

type AgentClass = new (options?: { maxHeaderSize: number }) => Dispatcher;

/** Whether this is an agent as undici makes one without options. */
function isDefault(undici: Dispatcher): boolean {
  const { constructor } = undici;
  if (constructor.name !== "Agent" || undici.dispatch !== constructor.prototype.dispatch) return false;
  const plain = new (constructor as AgentClass)();
  const own = (agent: Dispatcher, name: string) => {
    const symbol = Object.getOwnPropertySymbols(agent).find(({ description }) => description === name);
    return symbol && (agent as unknown as Record<symbol, unknown>)[symbol];
  };
  const options = own(undici, "options") as { connect?: unknown } | undefined;
  const same = JSON.stringify(options) === JSON.stringify(own(plain, "options"));
  return options !== undefined && options.connect === undefined && same && own(undici, "factory") === own(plain, "factory");
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
