// Waiting for conditions, never for a guessed time.

/** The bound of every wait that should succeed: reached only by a failure. */
export const PATIENCE = 20_000;

/** Asks `condition` again and again, until it gives something. */
export async function until(what, condition, patience = PATIENCE) {
  const end = performance.now() + patience;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > end) throw new Error(`waited ${patience} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The value of a promise that must settle in time. */
export async function within(what, promise, patience = PATIENCE) {
  let timer;
  const late = new Promise(
    (_, reject) => (timer = setTimeout(() => reject(new Error(`waited ${patience} ms in vain: ${what}`)), patience)),
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
