// What somebody meant who mistyped a name.

/** How alike two names must be, from 0 to 1. */
const ALIKE = 0.7;

/** The name that is most like the one that was written. */
export function nearest(written: string, names: string[]): string | undefined {
  const [best] = names.map((name) => ({ name, alike: jaro(written, name) })).sort((a, b) => b.alike - a.alike);
  return best && best.alike > ALIKE ? best.name : undefined;
}

/** The Jaro similarity of two texts. */
function jaro(a: string, b: string): number {
  const reach = Math.max(Math.floor(Math.max(a.length, b.length) / 2) - 1, 0);
  const taken = new Set<number>();
  const inA = [...a].filter((letter, index) => {
    for (let other = Math.max(index - reach, 0); other <= Math.min(index + reach, b.length - 1); other++) {
      if (b[other] !== letter || taken.has(other)) continue;
      taken.add(other);
      return true;
    }
    return false;
  });
  if (inA.length === 0) return 0;
  const inB = [...taken].sort((x, y) => x - y).map((index) => b[index]);
  const swapped = inA.filter((letter, index) => letter !== inB[index]).length / 2;
  return (inA.length / a.length + inA.length / b.length + (inA.length - swapped) / inA.length) / 3;
}
