// What signals ask for.

/** A wish that came as a signal: to end, to begin a new session, to show the status. */
export type Wish = "end" | "reconnect" | "status";

const WISHES: [NodeJS.Signals, Wish][] = [
  ["SIGTERM", "end"],
  ["SIGINT", "end"],
  ["SIGHUP", "reconnect"],
  ["SIGUSR1", "status"],
];

/** Takes the signals over. */
export function onSignal(wish: (wish: Wish) => void): void {
  for (const [signal, meaning] of WISHES) {
    try {
      process.on(signal, () => wish(meaning));
    } catch {
      // Windows does not have all of them.
    }
  }
}
