export type {
  Attempt,
  Challenge,
  Diagnostic,
  Recovery,
  RequestReport,
  SessionInfo,
  SessionReason,
  State,
  Status,
  TransportEvents,
  TransportKind,
} from "./events.js";
export type { FetchLike } from "./fetch.js";
export type { HeadersLike, ReconnectingTransportOptions } from "./options.js";
export { ReconnectingTransport, type TransportEventMap } from "./transport.js";
