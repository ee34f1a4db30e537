// `${VAR}` and `${VAR:-default}` in option values, so that no secret need be in a process list.
import { Refused } from "./duration.js";

/** The value of an environment variable. */
export type Lookup = (name: string) => string | undefined;

/**
 * Replaces each `${VAR}` by the variable's value, and each `${VAR:-default}` by the default where the variable is unset or empty,
 * as a shell does. What comes out is not expanded again. Errors name variables, never values.
 */
export function expand(text: string, lookup: Lookup): string {
  let expanded = "";
  let rest = text;
  for (let start; (start = rest.indexOf("${")) >= 0; ) {
    const end = rest.indexOf("}", start);
    if (end < 0) throw new Refused("has a '${' without its '}'");
    const inside = rest.slice(start + 2, end);
    const split = inside.indexOf(":-");
    const name = split < 0 ? inside : inside.slice(0, split);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      throw new Refused("has a '${…}' that holds no variable's name; write ${VAR} or ${VAR:-default}");
    const value = split < 0 ? lookup(name) : lookup(name) || inside.slice(split + 2);
    if (value === undefined)
      throw new Refused(`needs the environment variable ${name}, which is not set; set it, or write \${${name}:-default}`);
    expanded += rest.slice(0, start) + value;
    rest = rest.slice(end + 1);
  }
  return expanded + rest;
}
