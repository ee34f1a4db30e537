// What of a long message the books need: whether it is a request or an answer, and its id. Short ones are taken whole.

/** From this length on, in characters. */
const LONG = 64 << 10;
/** Where the members are looked for that most messages begin or end with. */
const EDGE = 4096;

const STRING = String.raw`"(?:[^"\\]|\\.)*"`;
const SCALAR = String.raw`(?:${STRING}|-?[\d.eE+-]+|null)`;
const MEMBER = String.raw`\s*"(?:jsonrpc|id|method)"\s*:\s*${SCALAR}\s*`;
const BEGINNING = new RegExp(String.raw`^\s*\{(?:${MEMBER},)*`);
const END = new RegExp(String.raw`,${MEMBER}(?:,${MEMBER})*\}\s*$`);
const ID = new RegExp(String.raw`"id"\s*:\s*(${SCALAR})`);
const METHOD = new RegExp(String.raw`"method"\s*:\s*(${STRING})`);

/**
 * The same message with little in it, for `Recovery`. Undefined for one that it has no use for. The members at the edges of a text are
 * those of the message itself: before the first and after the last of those that hold more, nothing is nested.
 */
export function brief(text: string, forClient: boolean): string | undefined {
  if (text.length < LONG) return text;
  const beginning = BEGINNING.exec(text.slice(0, EDGE))?.[0] ?? "";
  const edges = `${beginning}${END.exec(text.slice(-EDGE))?.[0] ?? ""}`;
  const id = ID.exec(edges)?.[1];
  const method = METHOD.exec(edges)?.[1];
  if (id !== undefined && method !== undefined) return `{"jsonrpc":"2.0","id":${id},"method":${method}}`;
  // A long notification changes nothing.
  if (method !== undefined && text.slice(beginning.length).trimStart().startsWith('"params"')) return undefined;
  const rest = text.slice(beginning.length, beginning.length + EDGE).trimStart();
  if (forClient && id !== undefined && rest.startsWith('"result"')) return `{"jsonrpc":"2.0","id":${id},"result":{}}`;
  if (forClient && id !== undefined && rest.startsWith('"error"')) return `{"jsonrpc":"2.0","id":${id},"error":{"code":0,"message":""}}`;
  return text;
}
