//! A client of the versions with sessions at a server that speaks none of them: its messages are translated into those of a
//! version without sessions (MCP 2026-07-28), so that all that is known about sessions (what is held, sent again, restored and
//! told) holds for it too. The session exists for the client only.
//!
//! | the client sends | the server gets |
//! |---|---|
//! | `initialize` | `server/discover` |
//! | `notifications/initialized`, other notifications | nothing |
//! | a request | the same, with version, client and capabilities in `_meta`, and with headers |
//! | `ping` of the engine | `server/discover` |
//! | `logging/setLevel` | nothing; the level is in every `_meta` |
//! | `resources/subscribe`, `resources/unsubscribe` | a `subscriptions/listen` with other URIs |
//! | `notifications/cancelled` | the end of the exchange |
//! | answers to questions | the request again, with the answers |

mod handshake;
mod input;
mod listen;
mod request;
