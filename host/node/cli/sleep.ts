// Notices that the machine slept. The clock of all timers stops meanwhile, so no heartbeat comes due, and the server or a box on the way
// has often forgotten the connection.
import { uptime } from "node:os";

/** How often to look, in milliseconds. */
const PACE = 2000;
/** A sleep is longer than this; less is the noise of reading two clocks. In seconds. */
const SHORTEST = 1;

/** Calls `woke` after each sleep with its length in seconds. The result ends the watch. */
export function watchSleep(woke: (seconds: number) => void, drift = machineDrift, pace = PACE): () => void {
  let seen = drift();
  const timer = setInterval(() => {
    const now = drift();
    const slept = now - seen;
    seen = now;
    if (slept > SHORTEST) woke(slept);
  }, pace);
  timer.unref();
  return () => clearInterval(timer);
}

/** By how much the clock that runs through sleep is ahead of the one that stops, in seconds. Only its growth means something. */
function machineDrift(): number {
  return uptime() - performance.now() / 1000;
}
