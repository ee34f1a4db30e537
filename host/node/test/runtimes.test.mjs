// The same table of tests on every runtime, and a client with as few permissions as it needs.
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Process } from "./support/process.mjs";
import { runtime } from "./support/runtimes.mjs";
import { Scripted } from "./support/scripted.mjs";
import { until } from "./support/wait.mjs";

const folder = fileURLToPath(new URL("../", import.meta.url));

const files = (...names) => names.map((name) => `./test/${name}.test.mjs`);

/** What every runtime must pass. What is about Node's own `fetch`, its heap and its files is not among them. */
const TABLE = files("errors", "inflight", "lifecycle", "lost", "restart");

/** What every Node must pass: their `fetch` is not always the same. */
const NODE_TABLE = [...TABLE, ...files("network")];

/** A table takes half a minute on an idle machine. */
const LIMIT = 600_000;

const node = (table) => ["--test", "--test-concurrency=2", ...table];

/** How each runs tests. */
const TESTS = {
  "Node 22": node,
  "Node 24": node,
  "Node 26": node,
  Bun: (table) => ["test", "--timeout", "120000", ...table],
  // The table as a plain program: Deno has no `node:test` that runs by itself.
  Deno: ([file]) => [
    "run",
    "--no-prompt",
    "--config",
    "test/runtimes/deno.json",
    "--allow-net=127.0.0.1",
    "--allow-read",
    "--allow-run",
    "--allow-env",
    "--allow-write",
    file,
  ],
};

describe("the table", { concurrency: 2 }, () => {
  for (const [name, args] of Object.entries(TESTS)) {
    test(name, async (t) => {
      const program = await runtime(name);
      let passed = 0;
      const table = args === node ? NODE_TABLE : TABLE;
      for (const part of name === "Deno" ? table.map((file) => [file]) : [table]) {
        const run = new Process(program, args(part), {
          cwd: folder,
          env: { ...process.env, NODE_TEST_CONTEXT: undefined, MCP_RECONNECT_TEST_NODE: process.execPath },
        });
        const { code } = await run.end(LIMIT);
        const said = run.stdout + run.stderr;
        passed += said.match(/^\s*(\(pass\)|ok\b|✔)/gm)?.length ?? 0;
        assert.equal(code, 0, `${part} failed:\n${said}`);
      }
      t.diagnostic(`${name}: ${passed} cases passed`);
      assert.ok(passed >= (args === node ? 85 : 70), `only ${passed} cases have run`);
    });
  }
});

describe("a client", { concurrency: 2 }, () => {
  for (const name of ["this Node", ...Object.keys(TESTS)]) {
    for (const sse of [false, true]) {
      test(`${name}, ${sse ? "HTTP+SSE" : "Streamable HTTP"}`, async (t) => {
        const server = await Scripted.start({ sse });
        t.after(() => server.stop());
        const program = await runtime(name);
        // No --allow-env, no --allow-read.
        const permissions = name === "Deno" ? ["run", "--no-prompt", `--allow-net=127.0.0.1:${server.port}`] : [];
        const client = new Process(program, [...permissions, join("test", "support", "client.mjs"), String(server.url)], { cwd: folder });
        // It ends by itself if it fails.
        await until("the client has its second answer", () => client.stdout.includes("go away") || !client.running);
        await server.down();
        await server.up();
        const { code } = await client.end();
        assert.equal(code, 0, client.stderr);
        assert.equal(client.stdout, "ran before\nran go away\nran after\n1 reconnects\n", client.stderr);
        assert.equal(server.executions("after"), 1);
      });
    }
  }
});
