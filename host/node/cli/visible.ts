// Text that may come from a server, for a person: the same as `mcp_reconnect_core::text` makes it.

/** Characters that are not seen, or change how others are seen. A terminal may obey them, and a person is deceived by them. */
const INVISIBLE =
  /[\0-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\u{13430}-\u{1343f}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;

/** On one line: at most so many characters and then `…`, and U+FFFD for each that nobody sees. */
export function visible(text: string, most: number): string {
  const characters = [...text.slice(0, 2 * most + 2)];
  const line = characters.slice(0, most).join("").replace(INVISIBLE, "\u{FFFD}");
  return characters.length > most ? `${line}…` : line;
}

/** A JSON text with nothing in it that is not seen. */
export function escaped(json: string): string {
  const units = (text: string) =>
    [...text].flatMap((c) => c.split("")).map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return json.replace(INVISIBLE, (c) => units(c).join(""));
}
