// Loaded into every Node server of the tests with `node --import`. Two things the servers have no option for:
// they listen on the loopback interface only, and every byte of a request body goes to the file TEST_JOURNAL, so that
// a test can prove how often a call was delivered.
import { appendFileSync } from "node:fs";
import { IncomingMessage } from "node:http";
import { Server } from "node:net";

const { listen } = Server.prototype;
Server.prototype.listen = function (port, ...rest) {
  const wildcard = (typeof port === "number" || typeof port === "string") && typeof rest[0] !== "string";
  return wildcard ? listen.call(this, Number(port), "127.0.0.1", ...rest) : listen.call(this, port, ...rest);
};

const journal = process.env.TEST_JOURNAL;
if (journal) {
  const { push } = IncomingMessage.prototype;
  IncomingMessage.prototype.push = function (chunk, ...rest) {
    if (chunk) appendFileSync(journal, chunk);
    return push.call(this, chunk, ...rest);
  };
}
