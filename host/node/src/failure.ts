// What an error of `fetch` proves. "Not sent" is believed of errors that precede the request only, and must be proven: the
// engine may send such a request again, whatever it is. All others leave it open.
import type { sansIo } from "./engine.js";

/** Why an exchange failed, for the engine and for people. */
export interface Fault {
  failure: sansIo.Failure;
  detail: string;
}

interface Cause {
  name?: string | undefined;
  message?: string | undefined;
  code?: string | undefined;
  syscall?: string | undefined;
  /** What Node's parsers could not read: of `fetch` as text, of `http` as bytes. */
  data?: unknown;
  rawPacket?: unknown;
}

export function fault(error: unknown): Fault {
  const causes = innermost(error);
  // Several addresses of a name may have been tried: it is a proof only if it is one for each.
  const failures = new Set(causes.map(failure));
  const [first] = causes;
  return { failure: failures.size === 1 ? [...failures][0]! : "lost", detail: describe(first) };
}

/** The most bytes, and headers, of a response's head: as the native host takes them. */
export const HEAD_BYTES = 408 << 10;
export const HEADERS = 1000;

export const TOO_LARGE = `the head of the answer has over ${HEAD_BYTES >> 10} KiB, or over ${HEADERS} headers`;
export const NOT_HTTP = "what the server answers is not HTTP";
/** Both Node's `fetch` and its `http` speak HTTP/1.1. */
export const HTTP_2_ONLY = "the server speaks HTTP/2 only; have it, or a proxy before it, offer HTTP/1.1 too";

/** A server that is offered no protocol that it speaks says so before it has seen a request (RFC 7301, section 3.2). */
export const NO_PROTOCOL = /no[ _]application[ _]protocol/i;

/** Whether what could not be read is how a server of HTTP/2 begins: with a frame of settings (RFC 9113, section 3.4). */
export function isHttp2({ data, rawPacket }: { data?: unknown; rawPacket?: unknown }): boolean {
  const bytes = typeof data === "string" ? [...data].slice(0, 9).map((c) => c.charCodeAt(0)) : rawPacket;
  const frame = Array.isArray(bytes) || bytes instanceof Uint8Array ? bytes : [];
  const isSettings = frame[0] === 0 && frame[1] === 0 && frame[2] % 6 === 0 && frame[3] === 4;
  return isSettings && [4, 5, 6, 7, 8].every((at) => frame[at] === 0);
}

/** What an error of Node's parser, which `fetch` and `http` have in common, says of an answer. Undefined: it is none. */
export function unreadable(cause: Cause): string | undefined {
  const { code = "", name = "" } = cause;
  // Newer versions of `fetch` leave the code out.
  if (!code.startsWith("HPE_") && name !== "HTTPParserError") return undefined;
  if (isHttp2(cause)) return HTTP_2_ONLY;
  // Also where both are the same, which Node cannot be told to read.
  return code === "HPE_UNEXPECTED_CONTENT_LENGTH" ? "the answer has Content-Length twice, or beside chunks" : NOT_HTTP;
}

/** Whether the answer was "101 Switching Protocols", of which `fetch` makes an error: nobody has asked for that. */
export function switchesProtocols(error: unknown): boolean {
  return innermost(error).some(({ code, message }) => code === "UND_ERR_SOCKET" && message === "bad upgrade");
}

/** Whether the head of the answer was over the limit of Node's `fetch`. */
export function isTooLarge(error: unknown): boolean {
  return innermost(error).some(({ code }) => code === "UND_ERR_HEADERS_OVERFLOW");
}

/** What refuses a request before it is sent. */
export function unsendable(detail: string): Fault {
  return { failure: "unsendable", detail };
}

/** The errors at the bottom: `fetch` wraps the one that says something, and that may stand for several. */
function innermost(error: unknown, depth = 0): Cause[] {
  const { cause, errors } = (error ?? {}) as { cause?: unknown; errors?: unknown };
  if (depth < 8 && Array.isArray(errors) && errors.length > 0) return errors.flatMap((each) => innermost(each, depth + 1));
  if (depth < 8 && typeof cause === "object" && cause !== null) return innermost(cause, depth + 1);
  const text = (value: unknown) => (typeof value === "string" ? value : undefined);
  const { name, message, code, syscall, data, rawPacket } = (error ?? {}) as Record<keyof Cause, unknown>;
  return [{ name: text(name), message: text(message) ?? String(error), code: text(code), syscall: text(syscall), data, rawPacket }];
}

/** OpenSSL's verdicts on a certificate, as Node, Bun and Deno pass them on. They come before any byte of a request. */
const CERTIFICATE = new Set([
  "CERT_CHAIN_TOO_LONG",
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "CERT_REJECTED",
  "CERT_REVOKED",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "HOSTNAME_MISMATCH",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "PATH_LENGTH_EXCEEDED",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** Failures of the handshake's beginning. Not alerts about the client's certificate: those may follow the request. */
const HANDSHAKE =
  /the TLS handshake failed|packet[ _]length[ _]too[ _]long|record[ _]layer[ _]failure|wrong[ _]version[ _]number|unsupported[ _]protocol|handshake[ _]failure|no[ _]shared[ _]cipher|alert[ _]protocol[ _]version/i;

function failure(cause: Cause): sansIo.Failure {
  const { code = "", syscall, message = "" } = cause;
  if (code === "ENOTFOUND" || code.startsWith("EAI_") || syscall === "getaddrinfo") return "dns";
  if (code === "ECONNREFUSED" || code === "UND_ERR_CONNECT_TIMEOUT" || syscall === "connect") return "connect";
  // Bun's names.
  if (code === "ConnectionRefused" || code === "FailedToOpenSocket") return "connect";
  if (message.includes("before secure TLS connection was established")) return "connect";
  if (CERTIFICATE.has(code)) return "tls";
  if ((code === "EPROTO" || code.startsWith("ERR_SSL_")) && HANDSHAKE.test(`${code} ${message}`)) return "tls";
  // It reads no HTTP/1.1, so that it has run nothing; to wait does not help.
  if (NO_PROTOCOL.test(`${code} ${message}`) || isHttp2(cause)) return "tls";
  // Deno's only mark of what fails before the request.
  if (/client error \(Connect\)/.test(message)) {
    if (/received corrupt message|received fatal alert|invalid peer certificate/.test(message)) return "tls";
    return /dns error/.test(message) ? "dns" : "connect";
  }
  return message === "bad port" || /^Fetch failed: Requests to port \d+ are blocked$/.test(message) ? "unsendable" : "lost";
}

const WORDS: Record<string, string> = {
  ConnectionRefused: "connection refused",
  EAI_AGAIN: "the name lookup failed for now",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "the connection was closed or reset",
  EHOSTUNREACH: "no route to the destination",
  ENETUNREACH: "no route to the destination",
  ENOTFOUND: "the name was not found",
  ERR_ASSERTION: "the runtime's fetch cannot read the answer",
  EPIPE: "the connection was closed or reset",
  ETIMEDOUT: "the network took too long",
  UND_ERR_CONNECT_TIMEOUT: "connecting timed out",
  UND_ERR_HEADERS_OVERFLOW: "the head of the answer is over the limit of the dispatcher that the application has set",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "the body of the answer is not as long as its Content-Length says",
  UND_ERR_SOCKET: "the connection was closed or reset",
};

/** An error in words. No URL: servers of HTTP+SSE put the session's id there. */
function describe(cause: Cause = {}): string {
  const { code = "", message = "", name = "Error" } = cause;
  const words = WORDS[code] ?? unreadable(cause) ?? (NO_PROTOCOL.test(`${code} ${message}`) ? HTTP_2_ONLY : undefined);
  if (words) return words;
  const line = message
    .split("\n", 1)[0]!
    .replace(/\b[a-z][a-z0-9+.-]*:\/\/[^\s)"']+/gi, "the URL")
    .slice(0, 200);
  return [line || name, code && !line.includes(code) ? ` (${code})` : ""].join("");
}
