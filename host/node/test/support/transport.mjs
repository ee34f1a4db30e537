// The component `transport`, built and turned into JavaScript: with JSPI, and for a thread where it may block.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { transpile } from "@bytecodealliance/jco-transpile";
import { build } from "esbuild";

import { workspace } from "./command.mjs";
import { Process } from "./process.mjs";

const folder = fileURLToPath(new URL("../../", import.meta.url));

/** A guest is built in half a minute, on a busy machine in more. */
const BUILD = 600_000;

/** What waits, and what waits in it. The version of `wasi:io` is that of the newest part of the component. */
const JSPI = {
  asyncMode: "jspi",
  asyncImports: ["0", "2", "6"].map((patch) => `wasi:io/poll@0.2.${patch}#poll`),
  asyncExports: ["mcp-reconnect:transport/client@0.1.0#[method]connection.receive"],
};

/** The program with JSPI, and the folder (a URL) of the component that blocks; both are removed by `remove`. */
export async function transport() {
  const wasm = await component();
  const cache = join(folder, "node_modules", ".cache");
  mkdirSync(cache, { recursive: true });
  const scratch = mkdtempSync(join(cache, "mcp-reconnect-transport-"));
  await translate(wasm, join(scratch, "jspi"), { instantiation: "async", ...JSPI });
  await translate(wasm, join(scratch, "blocking"), { instantiation: "sync" });
  const program = join(scratch, "jspi", "program.mjs");
  await bundle(join(scratch, "jspi", "transport.js"), program);
  return { program, blocking: `${pathToFileURL(join(scratch, "blocking"))}/`, remove: () => rmSync(scratch, { recursive: true }) };
}

async function component() {
  const target = join(workspace, "target", "node");
  const args = [
    "build",
    "--quiet",
    "--locked",
    "--package",
    "mcp-reconnect-transport",
    "--target",
    "wasm32-wasip2",
    "--profile",
    "guest",
    "--target-dir",
    target,
  ];
  const env = { ...process.env, CARGO_ENCODED_RUSTFLAGS: "" };
  for (const name of Object.keys(env)) if (/^(CARGO_(PROFILE|BUILD|PKG|MANIFEST)_|RUSTC_)/.test(name)) delete env[name];
  const cargo = new Process("cargo", args, { cwd: workspace, env });
  const { code } = await cargo.end(BUILD);
  if (code !== 0) throw new Error(`the component mcp-reconnect-transport does not build:\n${cargo.stderr}`);
  return join(target, "wasm32-wasip2", "guest", "mcp_reconnect_transport.wasm");
}

async function translate(wasm, outDir, options) {
  const { files } = await transpile(wasm, {
    name: "transport",
    outDir: "",
    wasiShim: false,
    nodejsCompat: false,
    namespacedExports: false,
    validLiftingOptimization: true,
    ...options,
  });
  for (const [name, bytes] of Object.entries(files)) {
    const path = join(outDir, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, name.endsWith("transport.js") ? withoutDebugLog(Buffer.from(bytes).toString()) : bytes);
  }
}

/** As in scripts/build.mjs: a look at the environment in each call, which Deno does not permit. */
function withoutDebugLog(code) {
  const pattern = /if \(!globalThis\?\.process\?\.env\?\.JCO_DEBUG\) \{ return; \}/g;
  if (code.match(pattern)?.length !== 1) throw new Error("jco's _debugLog no longer looks as it did");
  return code.replace(pattern, "return;");
}

/** The program with the shim's files for browsers, in which one call of `fetch` is ours: see test/transport/wasi.mjs. */
async function bundle(component, outfile) {
  const setup = ({ onResolve, onLoad }) => {
    onResolve({ filter: /^#component$/ }, () => ({ path: component }));
    onLoad({ filter: /preview2-shim\/dist\/browser\/http\.js$/ }, ({ path }) => {
      const [before, after, ...more] = readFileSync(path, "utf8").split("globalThis.fetch(");
      if (after === undefined || more.length > 0) throw new Error("the shim's fetch no longer looks as it did");
      return { contents: `${before}globalThis.mcpReconnectFetch(${after}`, loader: "js" };
    });
  };
  const common = {
    absWorkingDir: folder,
    bundle: true,
    platform: "neutral",
    target: "es2022",
    format: "esm",
    external: ["node:*"],
    logLevel: "warning",
  };
  await build({ ...common, entryPoints: ["test/transport/jspi.mjs"], outfile, plugins: [{ name: "transport", setup }] });
}
