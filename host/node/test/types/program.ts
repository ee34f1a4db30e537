// A program of its own, without any SDK: what it may write, and what the compiler refuses.
import { ReconnectingTransport, type ReconnectingTransportOptions, type Status } from "mcp-reconnect";

const options: ReconnectingTransportOptions = {
  transport: "auto",
  headers: async () => ({ authorization: "Bearer token" }),
  signal: new AbortController().signal,
  heartbeatInterval: 30_000,
  backoff: { base: 500, cap: 30_000 },
  maxQueue: { messages: 16, bytes: 1 << 20 },
};
const transport = new ReconnectingTransport("http://127.0.0.1/mcp", options);

transport.addEventListener("reconnected", ({ detail }) => {
  const epoch: number = detail.session.epoch;
  const fresh: boolean = detail.newSession;
  console.log(epoch, fresh, detail.session.serverName);
});
transport.addEventListener("reconnecting", ({ detail }) => console.log(detail.attempt + detail.delay, detail.reason));
transport.addEventListener("closed", () => {}, { once: true });
transport.onmessage = (message) => console.log(message);
export const status: Status = transport.status();

// @ts-expect-error there is no such event
transport.addEventListener("reconnect", () => {});
// @ts-expect-error the delay is a number
transport.addEventListener("reconnecting", ({ detail }) => detail.delay.length);
// @ts-expect-error there is no such option
export const wrong: ReconnectingTransportOptions = { sessionId: "abc" };
// @ts-expect-error a session id is not to be set
transport.sessionId = "abc";
