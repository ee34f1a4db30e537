// What the network does, and what the transport tells the engine of it: only what is proven not to have been sent counts as such.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createTcpServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";

import { connected, GENERATIONS, recorded, text } from "./support/clients.mjs";
import { freePort } from "./support/port.mjs";
import { Scripted } from "./support/scripted.mjs";
import { until } from "./support/wait.mjs";

const Client = GENERATIONS["client 2.x"];
const initialize = {
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "x", version: "1" } },
};

/** Why the first attempt to reach `url` failed: as an event, or as an answer where trying again is no use. */
async function reason(t, url) {
  const { transport, log } = recorded(url, { startTimeout: 0 });
  const answers = [];
  transport.onmessage = (message) => answers.push(message);
  t.after(() => transport.close());
  await transport.start();
  await transport.send(initialize);
  await until("a failed attempt", () => answers.length > 0 || log.some(({ type }) => type === "reconnecting"));
  return answers[0]?.error.message ?? log.find(({ type }) => type === "reconnecting").detail.reason;
}

describe("compression that nobody asked for", { concurrency: 4 }, () => {
  for (const [coding, encode] of Object.entries({ gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync })) {
    test(coding, async (t) => {
      const server = await Scripted.start({
        on: ({ kind, message, response }) => {
          if (kind !== "tools/call") return false;
          const content = encode(
            JSON.stringify({ jsonrpc: "2.0", id: message.id, result: { content: [{ type: "text", text: "decoded" }] } }),
          );
          response.writeHead(200, { "content-type": "application/json", "content-encoding": coding }).end(content);
          return true;
        },
      });
      t.after(() => server.stop());
      const { client } = await connected(t, Client, server.url);
      assert.equal((await client.callTool({ name: "run", arguments: {} })).content[0].text, "decoded");
      assert.ok(server.records.every(({ headers }) => headers["accept-encoding"] === "identity"));
    });
  }
});

describe("errors", { concurrency: 4 }, () => {
  test("connection refused", async (t) => {
    assert.equal(await reason(t, `http://127.0.0.1:${await freePort()}/mcp`), "no connection could be made (connection refused)");
  });

  test("a name with several addresses, all refused", async (t) => {
    assert.equal(await reason(t, `http://localhost:${await freePort()}/mcp`), "no connection could be made (connection refused)");
  });

  test("a name that does not exist", async (t) => {
    // `.invalid` exists nowhere (RFC 2606); without any resolver the lookup fails for now, which is as good.
    assert.match(await reason(t, "http://nowhere.invalid/mcp"), /name .*(not found|lookup failed)/);
  });

  test("a certificate that nobody vouches for, and what is no TLS", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "mcp-reconnect-tls-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const [key, cert] = ["key.pem", "cert.pem"].map((name) => join(folder, name));
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-keyout",
        key,
        "-out",
        cert,
      ],
      { stdio: "ignore" },
    );
    let requests = 0;
    const tls = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) =>
      socket.on("data", () => (requests += 1)).on("error", () => {}),
    );
    tls.on("tlsClientError", () => {});
    const plain = createTcpServer((socket) => socket.on("error", () => {}).end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    for (const server of [tls, plain]) {
      await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
      t.after(() => server.close());
      assert.match(await reason(t, `https://127.0.0.1:${server.address().port}/mcp`), /self.signed certificate|wrong version number/);
    }
    assert.equal(requests, 0);
  });

  test("a connection that is closed without a word proves nothing", async (t) => {
    const server = createTcpServer((socket) => socket.on("error", () => {}).once("data", () => socket.resetAndDestroy()));
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    assert.doesNotMatch(await reason(t, `http://127.0.0.1:${server.address().port}/mcp`), /no connection could be made/);
  });

  test("a port that fetch refuses is not tried for ever", async (t) => {
    assert.match(await reason(t, "http://127.0.0.1:6000/mcp"), /bad port/);
  });
});

/** The global from which Node's `fetch` takes its dispatcher; undici has changed it, and sets others beside it. */
async function dispatcherInUse() {
  const nobody = `http://127.0.0.1:${await freePort()}/`;
  void new Headers();
  for (const symbol of [1, 2].map((version) => Symbol.for(`undici.globalDispatcher.${version}`))) {
    const own = globalThis[symbol];
    if (!own) continue;
    let asked = false;
    globalThis[symbol] = {
      dispatch() {
        asked = true;
        throw new Error("not sent");
      },
    };
    await fetch(nobody).catch(() => {});
    globalThis[symbol] = own;
    if (asked) return symbol;
  }
  assert.fail("no global is asked");
}

test("a call that is silent for longer than fetch's own limits is not lost", async (t) => {
  // Node's fetch gives up after 300 s without headers, or without a byte of the body. Here after a tenth of a second.
  const symbol = await dispatcherInUse();
  const own = globalThis[symbol];
  const agent = new own.constructor({ headersTimeout: 100, bodyTimeout: 100 });
  let dispatched = 0;
  globalThis[symbol] = {
    dispatch(...args) {
      dispatched += 1;
      return agent.dispatch(...args);
    },
  };
  t.after(async () => {
    globalThis[symbol] = own;
    await agent.destroy();
  });

  const held = [];
  const server = await Scripted.start({ on: (call) => call.mark === "silent" && held.push(call) > 0 });
  t.after(() => server.stop());
  const { client, log } = await connected(t, Client, server.url, { heartbeatInterval: 0 });
  await server.seen("GET");
  assert.equal(dispatched, server.records.length, "the program's dispatcher is passed by");
  const call = text(client.callTool({ name: "run", arguments: { mark: "silent" } }));
  // The limit is real: a plain fetch beside it runs into it. undici looks every second or so.
  const [session] = server.sessions;
  const plain = fetch(new URL("/limit", server.url), { headers: { "mcp-session-id": session } }).then((response) => response.text());
  await assert.rejects(plain, ({ cause }) => cause.code === "UND_ERR_BODY_TIMEOUT");
  await until("the call is held", () => held.length === 1);
  held[0].result({ content: [{ type: "text", text: "after the silence" }] });
  assert.equal(await call, "after the silence");
  assert.equal(server.of("initialize").length, 1);
  assert.deepEqual(
    log.filter(({ type }) => ["disconnected", "outcomeunknown", "replayed"].includes(type)),
    [],
  );
});

describe("headers", { concurrency: 4 }, () => {
  test("headers, and those of requestInit, go with every request", async (t) => {
    const server = await Scripted.start();
    t.after(() => server.stop());
    const requestInit = { headers: new Headers({ authorization: "Bearer first", "x-init": "1" }) };
    const { client, transport, log } = await connected(t, Client, server.url, { headers: { Authorization: "Bearer second" }, requestInit });
    await client.ping();
    await server.seen("GET");
    for (const { headers } of server.records) {
      assert.equal(headers.authorization, "Bearer second");
      assert.equal(headers["x-init"], "1");
    }
    transport.setHeaders([["authorization", "Bearer third"]]);
    assert.equal(await text(client.callTool({ name: "run", arguments: { mark: "third" } })), "ran third");
    assert.equal(server.of("tools/call").at(-1).headers.authorization, "Bearer third");
    assert.equal(server.of("initialize").length, 1);
    assert.ok(!JSON.stringify([log, transport.status()]).includes("Bearer"));
    assert.throws(
      () => transport.setHeaders({ "no header": "s3cret" }),
      (error) => /no header/.test(error.message) && !error.message.includes("s3cret"),
    );
  });

  test("an async function gives headers at the start, and new ones on a 401, for which the request waits", async (t) => {
    let valid = "Bearer 1";
    const on = (call) =>
      call.request.headers.authorization !== valid && call.response.writeHead(401, { "www-authenticate": 'Bearer realm="test"' }).end();
    const server = await Scripted.start({ on });
    t.after(() => server.stop());
    let calls = 0;
    const headers = async () => ({ authorization: `Bearer ${++calls}` });
    const { client, log } = await connected(t, Client, server.url, { headers });
    assert.equal(calls, 1);
    valid = "Bearer 2";
    assert.equal(await text(client.callTool({ name: "run", arguments: { mark: "with new headers" } })), "ran with new headers");
    assert.equal(calls, 2);
    assert.deepEqual(log.find(({ type }) => type === "credentialsneeded").detail, { status: 401, challenge: 'Bearer realm="test"' });
    assert.equal(server.executions("with new headers"), 1);
  });

  test("a function that fails is heard of, and the request gets the server's refusal", async (t) => {
    let refuse = false;
    const server = await Scripted.start({ on: (call) => refuse && call.response.writeHead(403).end() });
    t.after(() => server.stop());
    let calls = 0;
    const headers = () => {
      if (++calls > 1) throw new Error("no token today");
      return { authorization: "Bearer 1" };
    };
    const { client, errors } = await connected(t, Client, server.url, { headers, credentialsTimeout: 200 });
    refuse = true;
    await assert.rejects(client.callTool({ name: "run", arguments: { mark: "refused" } }), { code: -31004 });
    assert.ok(errors.some((error) => /no token today/.test(error.message)));
    assert.equal(server.executions("refused"), 0);
  });

  test("a function that never answers is asked again at the next refusal", async (t) => {
    let valid = "Bearer 1";
    const on = (call) => call.request.headers.authorization !== valid && call.response.writeHead(401).end();
    const server = await Scripted.start({ on });
    t.after(() => server.stop());
    let calls = 0;
    const headers = () => (++calls === 2 ? new Promise(() => {}) : { authorization: `Bearer ${calls}` });
    const { client } = await connected(t, Client, server.url, { headers, credentialsTimeout: 200 });
    valid = "Bearer 3";
    await assert.rejects(client.callTool({ name: "run", arguments: { mark: "refused" } }), { code: -31004 });
    // The engine asks the server again after ten seconds.
    await until("the next question", () => calls === 3);
    assert.equal(await text(client.callTool({ name: "run", arguments: { mark: "taken" } })), "ran taken");
    assert.deepEqual([calls, server.executions("refused"), server.executions("taken")], [3, 0, 1]);
  });

  test("a new session waits for its headers, and never begins with the old ones", async (t) => {
    const server = await Scripted.start();
    t.after(() => server.stop());
    let calls = 0;
    let give;
    const headers = () => (++calls === 1 ? { authorization: "Bearer 1" } : new Promise((resolve) => (give = resolve)));
    const { client } = await connected(t, Client, server.url, { headers });
    await client.ping();
    await server.down();
    await until("the question for headers", () => calls === 2);
    await server.up();
    const call = client.callTool({ name: "run", arguments: { mark: "held" } });
    assert.equal(server.of("initialize").length, 1);
    give({ authorization: "Bearer 2" });
    assert.equal(await text(call), "ran held");
    assert.deepEqual(
      server.of("initialize").map((record) => record.headers.authorization),
      ["Bearer 1", "Bearer 2"],
    );
    assert.deepEqual([calls, server.executions("held")], [2, 1]);
  });

  test("a start whose headers cannot be had fails", async () => {
    const { transport } = recorded("http://127.0.0.1:9/mcp", { headers: async () => Promise.reject(new Error("no token at all")) });
    await assert.rejects(transport.start(), /no token at all/);
    await transport.close();
  });

  test("a redirect to another origin is not followed", async (t) => {
    const other = await Scripted.start();
    t.after(() => other.stop());
    const server = await Scripted.start({ on: (call) => call.response.writeHead(307, { location: other.url.href }).end() });
    t.after(() => server.stop());
    const { transport } = recorded(server.url, { headers: { authorization: "Bearer secret" } });
    const messages = [];
    transport.onmessage = (message) => messages.push(message);
    t.after(() => transport.close());
    await transport.start();
    await transport.send(initialize);
    await until("the answer", () => messages.length === 1);
    assert.match(messages[0].error.message, /redirect/);
    assert.equal(other.records.length, 0);
  });
});

test("a fetch of the program's own makes every request", async (t) => {
  const server = await Scripted.start();
  t.after(() => server.stop());
  const seen = [];
  const own = (url, init) => {
    seen.push([init.method, url instanceof URL, init.redirect, init.keepalive]);
    return fetch(url, init);
  };
  const { client } = await connected(t, Client, server.url, { fetch: own, requestInit: { keepalive: false } });
  assert.equal(await text(client.callTool({ name: "run", arguments: { mark: "own" } })), "ran own");
  await server.seen("GET");
  assert.equal(seen.length, server.records.length);
  for (const [method, isUrl, redirect, keepalive] of seen) {
    assert.match(method, /GET|POST/);
    assert.deepEqual([isUrl, redirect, keepalive], [true, "manual", false]);
  }
});
