// Headers as a user writes them: `--header 'Name: value'`, as curl takes it, and many at once, as `--header-file` holds and
// `--header-command` prints them. An error names a line or a header, and never a value.
import { Refused } from "./duration.js";
import { expand, type Lookup } from "./expand.js";

/** A name and a value. */
export type Header = [string, string];

/** RFC 9110 § 5.6.2. */
const TOKEN = /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\0-\x08\x0a-\x1f\x7f]/;

/** Splits a header and expands the variables in its value. An error says which header by its name, and never its value. */
export function header(text: string, lookup: Lookup): Header {
  const colon = text.indexOf(":");
  // Without a colon the whole text may be a secret that lost its name: it is not repeated.
  if (colon < 0) throw new Refused("a --header has no colon; write --header 'Name: value'");
  const name = text.slice(0, colon).trim();
  if (!TOKEN.test(name)) throw new Refused("a --header has no valid name before its colon; write --header 'Name: value'");
  return [name, blamed(`--header '${name}'`, () => clean(expand(text.slice(colon + 1), lookup)))];
}

/** Reads `Name=VAR`: the header's value is what the environment variable holds. */
export function headerFromEnvironment(text: string, lookup: Lookup): Header {
  const equals = text.indexOf("=");
  // Without a variable's name the whole text may be a secret.
  if (equals < 0) throw new Refused("a --header-env has no '='; write --header-env 'Name=VAR'");
  const name = text.slice(0, equals).trim();
  const variable = text.slice(equals + 1).trim();
  if (!TOKEN.test(name)) throw new Refused("a --header-env has no valid name before its '='; write --header-env 'Name=VAR'");
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(variable))
    throw new Refused(`--header-env '${name}' names no environment variable; write --header-env '${name}=VAR'`);
  const value = lookup(variable);
  if (value === undefined) {
    throw new Refused(`--header-env '${name}' needs the environment variable ${variable}, which is not set, or not valid UTF-8`);
  }
  return [name, blamed(`--header-env '${name}'`, () => clean(value))];
}

/**
 * Reads many headers: a JSON object whose values are strings, or lines `Name: value`, where blank lines and those that begin with `#`
 * mean nothing. Each value goes through `finish`.
 */
export function parseAll(text: string, finish: (value: string) => string): Header[] {
  const bare = text.replace(/^\u{feff}+/u, "").trim();
  const raw = bare.startsWith("{") ? fromJson(bare) : fromLines(bare);
  return raw.map(([name, value]) => [name, blamed(`the header '${name}'`, () => clean(finish(value)))]);
}

function fromJson(text: string): Header[] {
  let object: Record<string, unknown>;
  try {
    object = JSON.parse(text) as Record<string, unknown>;
  } catch {
    // The parser's own message repeats a part of the text.
    throw new Refused("it is not JSON");
  }
  return Object.entries(object).map(([name, value]) => {
    if (!TOKEN.test(name)) throw new Refused("a member's name is no header name");
    if (typeof value !== "string") throw new Refused(`the header '${name}' has a value that is not a string`);
    return [name, value];
  });
}

function fromLines(text: string): Header[] {
  const headers: Header[] = [];
  for (const [index, untrimmed] of text.split("\n").entries()) {
    const line = untrimmed.trim();
    if (line === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0)).trim();
    if (!TOKEN.test(name)) throw new Refused(`line ${index + 1} is not 'Name: value'`);
    headers.push([name, line.slice(colon + 1)]);
  }
  return headers;
}

/** A value without the space around it. */
function clean(value: string): string {
  const bare = value.trim();
  if (CONTROL.test(bare)) throw new Refused("has a line break or another control character in its value; remove it");
  return bare;
}

/** Says whose fault it is. */
function blamed<T>(whose: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof Refused) throw new Refused(`${whose} ${error.message}`);
    throw error;
  }
}
