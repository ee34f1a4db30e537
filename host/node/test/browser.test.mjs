// The package in a browser: headless Chromium, a page, a server of another origin, and its restart.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

import { Process } from "./support/process.mjs";
import { chromium } from "./support/runtimes.mjs";
import { Scripted } from "./support/scripted.mjs";
import { until } from "./support/wait.mjs";

const folder = fileURLToPath(new URL("../", import.meta.url));

/** A browser may take its time to start. */
const STARTUP = 60_000;

/** No more than this of the package comes over the wire to a browser, in bytes. */
const LARGEST = 600_000;

async function bundled(options) {
  const { outputFiles } = await build({
    absWorkingDir: folder,
    bundle: true,
    write: false,
    minify: true,
    platform: "browser",
    format: "esm",
    target: "es2022",
    logLevel: "warning",
    ...options,
  });
  return outputFiles[0].text;
}

test("the bundle for a browser is small", async (t) => {
  const bundle = await bundled({ entryPoints: ["dist/esm/index.js"] });
  const compressed = gzipSync(bundle).length;
  t.diagnostic(`${bundle.length} bytes, ${compressed} compressed`);
  assert.ok(compressed < LARGEST, `${compressed} bytes`);
});

for (const sse of [false, true]) {
  test(`a page survives the restart of its server: ${sse ? "HTTP+SSE" : "Streamable HTTP"}`, async (t) => {
    const script = await bundled({ entryPoints: ["test/browser/page.mjs"] });
    const said = [];
    const pages = await served(t, script, said);
    const server = await Scripted.start({ sse, on: (call) => permits(call, pages) });
    t.after(() => server.stop());
    const { command, env } = await chromium();
    const profile = mkdtempSync(join(tmpdir(), "mcp-reconnect-browser-"));
    const flags = [
      "--headless=shell",
      "--no-sandbox",
      "--no-zygote",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      `--user-data-dir=${profile}`,
      "--remote-debugging-port=0",
    ];
    const browser = new Process(command, [...flags, `${pages}/?server=${encodeURIComponent(server.url)}`], { env });
    t.after(async () => {
      await browser.kill();
      rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
    });
    const hears = async (text, patience) => {
      await until(
        `the page says ${text}`,
        () => said.includes(text) || said.some((line) => line.startsWith("failed")) || !browser.running,
        patience,
      ).catch((error) => assert.fail(`${error.message}: ${said}\n${browser.stderr}`));
      assert.ok(said.includes(text), `${said.join("\n")}\n${browser.stderr}`);
    };
    await hears("go away", STARTUP);
    await server.down();
    await hears("come back");
    await server.up();
    await hears("1 reconnects");
    assert.deepEqual(said, ["ran before", "go away", "come back", "ran during", "ran after", "1 reconnects"]);
    assert.equal(server.executions("during"), 1);
  });
}

/** A server of the page; gives its origin. */
async function served(t, script, said) {
  const server = createServer(async (request, response) => {
    if (request.url.startsWith("/?"))
      return response.writeHead(200, { "content-type": "text/html" }).end('<script type="module" src="/page.js"></script>');
    if (request.url === "/page.js") return response.writeHead(200, { "content-type": "text/javascript" }).end(script);
    let body = "";
    for await (const chunk of request) body += chunk;
    if (request.url === "/say") said.push(body);
    response.writeHead(204).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/** What a server must say to a page of another origin. */
function permits(call, origin) {
  const { response } = call;
  response.setHeader("access-control-allow-origin", origin);
  response.setHeader("access-control-expose-headers", "mcp-session-id");
  if (call.kind !== "OPTIONS") return false;
  response.setHeader("access-control-allow-methods", "GET, POST, DELETE");
  response.setHeader("access-control-allow-headers", call.request.headers["access-control-request-headers"] ?? "");
  return call.text(204, "text/plain", "");
}
