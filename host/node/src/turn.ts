// Turns of the event loop.

const { setImmediate } = globalThis as { setImmediate?: (call: () => void) => unknown };

/**
 * Calls it later, and alone: what it sets off by promises and ticks is done before another one is called. Browsers have no
 * `setImmediate`.
 */
export const inTurn: (call: () => void) => void = setImmediate ? (call) => void setImmediate(call) : (call) => void setTimeout(call, 0);
