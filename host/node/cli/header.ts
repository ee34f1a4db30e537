// `--header 'Name: value'`, as curl takes it.
import { Refused } from "./duration.js";
import { expand, type Lookup } from "./expand.js";

/** RFC 9110 § 5.6.2. */
const TOKEN = /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\0-\x08\x0a-\x1f\x7f]/;

/** Splits a header and expands the variables in its value. An error says which header by its name, and never its value. */
export function header(text: string, lookup: Lookup): [string, string] {
  const colon = text.indexOf(":");
  // Without a colon the whole text may be a secret that lost its name: it is not repeated.
  if (colon < 0) throw new Refused("a --header has no colon; write --header 'Name: value'");
  const name = text.slice(0, colon).trim();
  if (!TOKEN.test(name)) throw new Refused("a --header has no valid name before its colon; write --header 'Name: value'");
  try {
    const value = expand(text.slice(colon + 1), lookup).trim();
    if (CONTROL.test(value)) throw new Refused("has a line break or another control character in its value; remove it");
    return [name, value];
  } catch (error) {
    if (error instanceof Refused) throw new Refused(`--header '${name}' ${error.message}`);
    throw error;
  }
}
