// Speaks TLS for a server that does not, as a load balancer does: HTTP/2 or HTTP/1.1 outside, HTTP/1.1 inside.
// HOST, PORT: where it listens; TARGET: the server's port; CERT, KEY: files; CLIENT_CA: the authority whose client certificates
// it demands; MAX_VERSION: of TLS; HTTP_1: no HTTP/2; HTTP_2: no HTTP/1.1; PLAIN: HTTP/2 without TLS, and nothing else. Every request writes a line to stdout: version, method, path, and the
// value of `x-test`.
import { readFileSync } from "node:fs";
import { request as ask } from "node:http";
import { createServer as createPlainServer, createSecureServer } from "node:http2";
import { createServer } from "node:https";

const { HOST = "127.0.0.1", PORT, TARGET, CERT, KEY, CLIENT_CA, MAX_VERSION, HTTP_1, HTTP_2, PLAIN } = process.env;
const options = { cert: readFileSync(CERT), key: readFileSync(KEY), allowHTTP1: !HTTP_2 };
if (CLIENT_CA) Object.assign(options, { ca: readFileSync(CLIENT_CA), requestCert: true, rejectUnauthorized: true });
// OpenSSL's own level refuses the oldest.
if (MAX_VERSION) Object.assign(options, { maxVersion: MAX_VERSION, minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" });

/** Headers of one connection only (RFC 9110 § 7.6.1), and those of HTTP/2 that HTTP/1.1 has elsewhere. */
const own = /^(:.*|connection|keep-alive|transfer-encoding|upgrade|http2-settings|host)$/;
const passed = (headers) => Object.fromEntries(Object.entries(headers).filter(([name]) => !own.test(name)));

const create = PLAIN ? createPlainServer : HTTP_1 ? createServer : createSecureServer;
const front = create(options, (request, response) => {
  console.log(request.httpVersion, request.method, request.url, request.headers["x-test"] ?? "");
  const { method, url: path } = request;
  const inner = ask({ host: "127.0.0.1", port: TARGET, method, path, headers: passed(request.headers) }, (answer) => {
    response.writeHead(answer.statusCode, passed(answer.headers));
    response.flushHeaders?.();
    answer.pipe(response);
    answer.on("error", () => response.destroy());
  });
  inner.on("error", () => {
    if (response.headersSent) return response.destroy();
    response.writeHead(502);
    response.end();
  });
  response.on("close", () => inner.destroy());
  request.pipe(inner);
});
front.on("sessionError", () => {});
if (HTTP_2) {
  // Of a client that names no protocol. Node would answer 403; other servers take it that it speaks HTTP/2, and so begin with a frame of
  // settings and end with GOAWAY (PROTOCOL_ERROR).
  front.on("unknownProtocol", (socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end(Buffer.from("000000040000000000" + "000008070000000000" + "0000000000000001", "hex")));
  });
}
front.listen(Number(PORT), HOST);
