// Durations as people write them: `30s`, `1m30s`, `500ms`, `1.5h`, and a bare number of seconds. In milliseconds.

/** The longest that is accepted: a year, far beyond what anybody means. */
const LONGEST = 365 * 24 * 3_600_000;

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** What is wrong with a value, for people. */
export class Refused extends Error {}

/** A duration that must not be zero. */
export function duration(text: string): number {
  const milliseconds = durationOrOff(text);
  if (milliseconds === 0) throw new Refused("must be more than zero, as in 30s, 5m or 1h");
  return milliseconds;
}

/** A duration; `off` is zero. */
export function durationOrOff(text: string): number {
  if (text === "off") return 0;
  const milliseconds = /^[0-9.]+$/.test(text) ? number(text) * 1000 : sum(text);
  if (Number.isNaN(milliseconds)) throw new Refused("write a duration such as 500ms, 30s, 5m or 1h");
  if (milliseconds > LONGEST) throw new Refused("is longer than a year");
  return milliseconds;
}

function sum(text: string): number {
  if (!/^([0-9.]+[a-z]+)+$/.test(text)) return NaN;
  let total = 0;
  for (const [, digits, unit] of text.matchAll(/([0-9.]+)([a-z]+)/g)) total += number(digits!) * (UNITS[unit!] ?? NaN);
  return total;
}

function number(digits: string): number {
  return /^(\d+\.?\d*|\.\d+)$/.test(digits) ? Number(digits) : NaN;
}
