// An MCP server over TLS that speaks HTTP/2 by hand, frame by frame, and answers a `tools/call` as its name says it should not.
// PORT, CERT, KEY. A line on stdout for each POST: the method of its message, and for a call the name.
import { readFileSync } from "node:fs";
import { createServer } from "node:tls";

const { PORT, CERT, KEY } = process.env;

const [DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION] = [0, 1, 3, 4, 6, 7, 8, 9];
const [ACK, END_STREAM, END_HEADERS] = [1, 1, 4];
const [REFUSED_STREAM, CANCEL] = [7, 8];

function frame(type, flags, stream, payload = Buffer.alloc(0)) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const number = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** A header without indexing (RFC 7541, section 6.2.2), short. */
function header(name, value) {
  return Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)]);
}

function answer(stream, status, body) {
  const head = Buffer.concat([header(":status", String(status)), header("content-type", "application/json")]);
  if (!body) return frame(HEADERS, END_HEADERS | END_STREAM, stream, head);
  return Buffer.concat([frame(HEADERS, END_HEADERS, stream, head), frame(DATA, END_STREAM, stream, Buffer.from(JSON.stringify(body)))]);
}

const times = (count, bytes) => Buffer.concat(Array.from({ length: count }, () => bytes));

/** What goes on without end, until the other side has had enough. */
function flood(socket, bytes) {
  const more = () => {
    while (!socket.destroyed && socket.write(bytes));
    if (!socket.destroyed) socket.once("drain", more);
  };
  more();
}

/** Each writes something that no server should; true: the call is answered all the same. */
const HOSTILE = {
  continuation(socket, stream) {
    socket.write(frame(HEADERS, 0, stream, header(":status", "200")));
    flood(socket, times(64, frame(CONTINUATION, 0, stream, header("x-more", "y".repeat(100)))));
  },
  "continuation-empty"(socket, stream) {
    socket.write(frame(HEADERS, 0, stream, header(":status", "200")));
    flood(socket, times(1024, frame(CONTINUATION, 0, stream)));
  },
  /** One entry of the table of 4 KB, named again and again: 64 bytes on the wire are 256 KB of headers. */
  hpack(socket, stream) {
    const [name, value] = ["x-bomb", Buffer.alloc(4000, "y")];
    // A length of 4000 in seven bits and two more bytes: 127 + 33 + 30 * 128.
    const entry = Buffer.concat([Buffer.from([0x40, name.length]), Buffer.from(name), Buffer.from([0x7f, 0xa1, 0x1e]), value]);
    const block = Buffer.concat([header(":status", "200"), entry, Buffer.alloc(8000, 0xbe)]);
    socket.write(frame(HEADERS, END_HEADERS | END_STREAM, stream, block));
  },
  settings(socket) {
    socket.write(times(20_000, frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 1, 0, 0]))));
    return true;
  },
  pings(socket) {
    socket.write(times(20_000, frame(PING, 0, 0, Buffer.alloc(8, 1))));
    return true;
  },
  "settings-endless"(socket) {
    flood(socket, times(1024, frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 1, 0, 0]))));
  },
  "data-empty"(socket, stream) {
    socket.write(frame(HEADERS, END_HEADERS, stream, Buffer.concat([header(":status", "200"), header("content-type", "application/json")])));
    flood(socket, times(1024, frame(DATA, 0, stream)));
  },
  "window-updates"(socket, stream) {
    flood(socket, times(1024, frame(WINDOW_UPDATE, 0, stream, number(1))));
  },
  "window-overflow"(socket, stream) {
    socket.write(times(4, frame(WINDOW_UPDATE, 0, stream, number(2 ** 31 - 1))));
  },
  "reset-refused"(socket, stream) {
    socket.write(frame(RST_STREAM, 0, stream, number(REFUSED_STREAM)));
  },
  "reset-cancel"(socket, stream) {
    socket.write(frame(RST_STREAM, 0, stream, number(CANCEL)));
  },
  "resets-of-others"(socket) {
    const all = Array.from({ length: 10_000 }, (_, index) => frame(RST_STREAM, 0, 2 * index + 1001, number(CANCEL)));
    socket.write(Buffer.concat(all));
  },
  goaway(socket) {
    socket.write(frame(GOAWAY, 0, 0, Buffer.concat([number(0), number(0)])));
  },
  "frame-too-large"(socket, stream) {
    const huge = frame(DATA, 0, stream);
    huge.writeUIntBE(2 ** 24 - 1, 0, 3);
    socket.write(huge);
    flood(socket, Buffer.alloc(65536));
  },
  "frame-unknown"(socket) {
    socket.write(times(1000, frame(0x77, 0xff, 0, Buffer.alloc(16))));
    return true;
  },
  /** From now on nothing has room on a stream. */
  "zero-window"(socket) {
    socket.write(frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0])));
    return true;
  },
  "not-http2"(socket) {
    socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
  },
};

function serve(socket, stream, body) {
  if (body.length === 0) return socket.write(answer(stream, 405));
  const { id, method, params } = JSON.parse(body);
  console.log(method, params?.name ?? "");
  if (id === undefined) return socket.write(answer(stream, 202));
  const result = (result) => socket.write(answer(stream, 200, { jsonrpc: "2.0", id, result }));
  if (method === "initialize") {
    return result({ protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "hostile", version: "1" } });
  }
  if (method === "tools/list") return result({ tools: [] });
  if (method !== "tools/call") return result({});
  const hostile = HOSTILE[params.name];
  if (!hostile || hostile(socket, stream)) result({ content: [{ type: "text", text: params.name }] });
}

createServer({ cert: readFileSync(CERT), key: readFileSync(KEY), ALPNProtocols: ["h2"] }, (socket) => {
  socket.on("error", () => {});
  socket.write(frame(SETTINGS, 0, 0));
  const bodies = new Map();
  let rest = Buffer.alloc(0);
  let preface = 24;
  socket.on("data", (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    const skipped = Math.min(preface, rest.length);
    preface -= skipped;
    rest = rest.subarray(skipped);
    while (rest.length >= 9) {
      const length = rest.readUIntBE(0, 3);
      if (rest.length < 9 + length) return;
      const [type, flags, stream] = [rest[3], rest[4], rest.readUInt32BE(5)];
      const payload = rest.subarray(9, 9 + length);
      rest = rest.subarray(9 + length);
      if (type === SETTINGS && !(flags & ACK)) socket.write(frame(SETTINGS, ACK, 0));
      if (type === PING && !(flags & ACK)) socket.write(frame(PING, ACK, 0, payload));
      if (type === HEADERS || type === DATA) {
        bodies.set(stream, Buffer.concat([bodies.get(stream) ?? Buffer.alloc(0), type === DATA ? payload : Buffer.alloc(0)]));
        if (flags & END_STREAM) {
          serve(socket, stream, bodies.get(stream));
          bodies.delete(stream);
        }
      }
    }
  });
}).listen(Number(PORT), "127.0.0.1");
