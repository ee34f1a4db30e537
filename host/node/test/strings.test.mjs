// Text on its way into the component: jco's code encodes it in two ways, by its length (scripts/build.mjs).
import assert from "node:assert/strict";
import { test } from "node:test";

import { instantiate, MODULES } from "../dist/esm/component.js";

const { sansIo, types } = instantiate((name) => new WebAssembly.Module(Buffer.from(MODULES[name], "base64")), {});

/** What the component makes of a message, and of a header's value: the request that it wants to be made. */
function request(message, header = "") {
  const options = new types.Options("http://127.0.0.1/mcp");
  options.setTransport("streamable-http");
  options.setHeaders([["x-test", header]]);
  const engine = sansIo.Engine.open(options, 0n, 0n);
  engine.handle(0n, { tag: "message", val: message });
  return engine.pollOutputs(0).find(({ tag }) => tag === "start").val;
}

const initialize = (text) =>
  `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"${text}","version":"1"}}}`;

test("text of any length and kind arrives as UTF-8", () => {
  const frame = initialize("").length;
  const kinds = ["x", "\u00e9", "\u6f22", "\u{1f980}", "\ud83e", "\udd80", "x\udd80\ud83e\u6f22"];
  for (const length of [1, 2, 1023, 1024, 1025, 1026, 4096, 65_536, 300_001]) {
    for (const kind of kinds) {
      // Cut anywhere, also within a pair of surrogates.
      const text = kind.repeat(length).slice(0, Math.max(length - frame, 1));
      for (const message of [initialize(text), initialize(`${text}\ud83e`), initialize(`\u{1f980}${text}`)]) {
        // A lone surrogate becomes U+FFFD, here as there.
        assert.ok(Buffer.from(message).equals(request(message).body), `${message.length} characters with ${JSON.stringify(kind)}`);
      }
    }
  }
});

test("text that is empty arrives too", () => {
  const { headers } = request(initialize("x"), "");
  assert.deepEqual(
    headers.filter(([name]) => name === "x-test"),
    [["x-test", ""]],
  );
});
