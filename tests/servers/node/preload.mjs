// Loaded into every Node server of the tests with `node --import`. Things that the servers have no option for: they listen on the
// loopback interface only; every byte of a request body goes to the file TEST_JOURNAL, so that a test can prove how often a call was
// delivered; and each call that the SDK begins to run is a line in the file TEST_CALLS: `call NAME ARGUMENTS`.
import { appendFileSync } from "node:fs";
import { IncomingMessage } from "node:http";
import { createRequire } from "node:module";
import { Server } from "node:net";
import { pathToFileURL } from "node:url";

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

const calls = process.env.TEST_CALLS;
if (calls) {
  const sdk = createRequire(process.argv[1]).resolve("@modelcontextprotocol/sdk/types.js").replace("/cjs/", "/esm/");
  const { Protocol } = await import(new URL("shared/protocol.js", pathToFileURL(sdk)));
  const { _onrequest } = Protocol.prototype;
  Protocol.prototype._onrequest = function (request, ...rest) {
    const { name, arguments: given } = request.params ?? {};
    if (request.method === "tools/call") appendFileSync(calls, `call ${name} ${JSON.stringify(given ?? null)}\n`);
    return _onrequest.call(this, request, ...rest);
  };
}
