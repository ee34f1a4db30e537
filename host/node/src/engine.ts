// The engine: the component `guest/engine`, transpiled by the build, one instance of it per connection.
import { instantiate, MODULES } from "../build/component.js";
import type * as diagnosis from "../build/interfaces/mcp-reconnect-transport-diagnosis.js";
import type * as sansIo from "../build/interfaces/mcp-reconnect-transport-sans-io.js";
import type * as types from "../build/interfaces/mcp-reconnect-transport-types.js";

export type { diagnosis, sansIo, types };

/** A component of its own, and with it a memory of its own, which goes when the connection does. */
export interface Component {
  Check: typeof diagnosis.Check;
  Engine: typeof sansIo.Engine;
  Options: typeof types.Options;
  Oversized: typeof sansIo.Oversized;
  Recovery: typeof sansIo.Recovery;
}

export function component(): Component {
  const { diagnosis, sansIo, types } = instantiate(compiled, {});
  return {
    Check: diagnosis.Check,
    Engine: sansIo.Engine,
    Options: types.Options,
    Oversized: sansIo.Oversized,
    Recovery: sansIo.Recovery,
  };
}

const modules = new Map<string, WebAssembly.Module>();

/** A part of the component, compiled once per program. */
function compiled(name: string): WebAssembly.Module {
  let module = modules.get(name);
  if (!module) {
    const text = atob(MODULES[name] ?? "");
    const bytes = new Uint8Array(text.length);
    for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
    module = new WebAssembly.Module(bytes);
    modules.set(name, module);
  }
  return module;
}

const REFUSED: Record<string, string> = {
  "invalid-url": "invalid URL: ",
  "invalid-header": "invalid header: ",
};

/** What the component says when it refuses something; undefined if the error is no refusal but a defect. */
export function refusal(error: unknown): Error | undefined {
  const { payload = error } = (error ?? {}) as { payload?: unknown };
  const { tag, val } = (payload ?? {}) as { tag?: unknown; val?: unknown };
  return typeof tag === "string" && typeof val === "string" ? new Error((REFUSED[tag] ?? "") + val) : undefined;
}

/** The engine's clock: nanoseconds that never go backwards. */
export function now(): bigint {
  return BigInt(Math.round(performance.now() * 1e6));
}
