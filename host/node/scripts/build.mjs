// Builds the package: the component from its Rust sources, JavaScript from the component, and `dist` from that and `src`.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { transpile } from "@bytecodealliance/jco-transpile";
import { build } from "esbuild";

const CRATE = "mcp-reconnect-engine";

const folder = resolve(dirname(fileURLToPath(import.meta.url)), "..");
/** For esbuild. */
const common = { absWorkingDir: folder, bundle: true, platform: "neutral", target: "es2022", logLevel: "warning" };
const workspace = resolve(process.env.MCP_RECONNECT_WORKSPACE ?? join(folder, "../.."));

/** With `--faults`, after a build without: `dist-faults`, the same with a component that fails on demand, for the tests. */
const faults = process.argv.includes("--faults");
const [buildFolder, dist] = faults ? ["build-faults", "dist-faults"] : ["build", "dist"];
const COMPONENT = faults ? "engine-faults.wasm" : "engine.wasm";

for (const old of [buildFolder, dist]) rmSync(join(folder, old), { recursive: true, force: true });
const component = readFileSync(buildComponent());
const modules = await transpileComponent(component);
if (faults) {
  cpSync(join(folder, "dist"), join(folder, dist), { recursive: true });
  for (const format of ["esm", "cjs"]) await bundleComponent(format);
} else {
  await bundle();
  declarations();
  provenance(component, modules);
  copyFileSync(join(workspace, "LICENSE"), join(folder, "LICENSE"));
}

/** Builds the component by the repository's one builder of components, so that it is the one of the release. */
function buildComponent() {
  const builder = ["run", "--quiet", "--locked", "--package", "mcp-reconnect-guests", "--no-default-features"];
  // A folder of its own, since the cargo that may have started this waits for the end of it.
  const args = [...builder, "--target-dir", join(workspace, "target/guests/builder"), "--", COMPONENT];
  const env = { ...process.env };
  // What a surrounding cargo says about the package that it builds or tests.
  for (const name of Object.keys(env)) if (/^(CARGO_(PROFILE|BUILD|PKG|MANIFEST|ENCODED)_|RUSTC_)/.test(name)) delete env[name];
  const { status } = run("cargo", args, { cwd: workspace, env, stdio: ["ignore", "ignore", "inherit"] });
  if (status !== 0) fail(`the component ${COMPONENT} does not build, see the messages above`);
  return join(workspace, "target/components", COMPONENT);
}

/** Turns the component into `build/engine.js` and `build/modules.js`, with the types of its interfaces. */
async function transpileComponent(component) {
  const path = write("component.wasm", component);
  const { files, imports } = await transpile(path, {
    name: "engine",
    outDir: "",
    // Instantiated by a plain call, so that CommonJS can.
    instantiation: "sync",
    validLiftingOptimization: true,
    nodejsCompat: false,
    namespacedExports: false,
    wasiShim: false,
  });
  if (imports.length > 0) fail(`the component imports ${imports}, and must import nothing`);
  const modules = {};
  for (const [name, bytes] of Object.entries(files)) {
    const file = name.replace(/^\//, "");
    if (file.endsWith(".wasm")) {
      modules[file] = Buffer.from(bytes);
      continue;
    }
    write(file, file === "engine.js" ? withLongStrings(withoutDebugLog(Buffer.from(bytes).toString())) : bytes);
  }
  const texts = Object.fromEntries(Object.entries(modules).map(([name, bytes]) => [name, bytes.toString("base64")]));
  write("modules.js", `export const MODULES = ${JSON.stringify(texts)};\n`);
  write("component.js", 'export { instantiate } from "./engine.js";\nexport { MODULES } from "./modules.js";\n');
  write("component.d.ts", 'export { instantiate } from "./engine.js";\nexport const MODULES: Record<string, string>;\n');
  return modules;
}

/**
 * jco's code calls `_debugLog` everywhere, which reads an environment variable each time: most of the cost of a call, and more
 * than Deno permits by default. Emptied, its calls go when the code is minified.
 */
function withoutDebugLog(code) {
  const pattern =
    /const _debugLog = \(\.\.\.args\) => \{\s*if \(!globalThis\?\.process\?\.env\?\.JCO_DEBUG\) \{ return; \}\s*console\.debug\(\.\.\.args\);\s*\};/g;
  if (code.match(pattern)?.length !== 1) fail("jco's _debugLog no longer looks as it did; see withoutDebugLog in scripts/build.mjs");
  const emptied = code.replace(pattern, "/* @__NO_SIDE_EFFECTS__ */ const _debugLog = () => {};");
  if (/process\W+env/.test(emptied)) fail("jco's code reads the environment; see withoutDebugLog in scripts/build.mjs");
  return emptied;
}

/**
 * jco's code looks at each character of a string to know how many bytes it will have: a third of the cost of a call with a message
 * of 64 KB. A long string is encoded first and copied then; for a short one jco's way is the faster.
 */
function withLongStrings(code) {
  const pattern =
    /function _utf8AllocateAndEncode\(s, realloc, memory\) \{[\s\S]*?if \(s\.length === 0\) \{ return \{ ptr: 1, len: 0 \}; \}/g;
  if (code.match(pattern)?.length !== 1)
    fail("jco's _utf8AllocateAndEncode no longer looks as it did; see withLongStrings in scripts/build.mjs");
  return code.replace(
    pattern,
    (beginning) => `${beginning}
    if (s.length > 1024) {
      const bytes = TEXT_ENCODER_UTF8.encode(s);
      const ptr = realloc(0, 0, 1, bytes.length);
      new Uint8Array(memory.buffer, ptr, bytes.length).set(bytes);
      return { ptr, len: bytes.length };
    }`,
  );
}

/**
 * `component.js`, minified, and `index.js`, as it was written: an error's stack then shows a line that can be read. In lines of
 * bounded length, because Node prints the line of an error that nobody catches.
 */
async function bundle() {
  const component = {
    name: "component",
    setup: ({ onResolve }) => onResolve({ filter: /\/build\/component\.js$/ }, () => ({ path: "./component.js", external: true })),
  };
  for (const format of ["esm", "cjs"]) {
    await bundleComponent(format);
    await build({ ...common, format, entryPoints: ["src/index.ts"], outfile: `dist/${format}/index.js`, plugins: [component] });
  }
  // The command is a program of Node's, which loads the same component, and SOCKS only where it is used.
  const shipped = { "/build/component.js": "./esm/component.js", "./socks.js": "./socks.js" };
  const setup = ({ onResolve }) =>
    onResolve({ filter: /\/build\/component\.js$|^\.\/socks\.js$/ }, ({ path }) => ({
      path: shipped[path.replace(/^\.\.(?=\/build)/, "")],
      external: true,
    }));
  const define = { PACKAGE_VERSION: JSON.stringify(packageJson("package.json").version) };
  const node = { ...common, platform: "node", target: "node20", format: "esm" };
  await build({
    ...node,
    entryPoints: ["cli/main.ts"],
    outfile: "dist/cli.js",
    banner: { js: "#!/usr/bin/env node" },
    define,
    plugins: [{ name: "shipped", setup }],
  });
  // What npm puts on the PATH: the native program where there is one, and else the command above.
  const command = {
    name: "command",
    setup: ({ onResolve }) => onResolve({ filter: /^\.\/main\.js$/ }, () => ({ path: "./cli.js", external: true })),
  };
  await build({
    ...node,
    entryPoints: ["cli/launcher.ts"],
    outfile: "dist/launcher.js",
    banner: { js: "#!/usr/bin/env node" },
    define,
    plugins: [command],
  });
  await build({
    ...node,
    entryPoints: ["cli/socks.ts"],
    outfile: "dist/socks.js",
    minify: true,
    lineLimit: 500,
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  });
  writeFileSync(join(folder, "dist/socks.licenses.txt"), licenses(["socks", "smart-buffer", "ip-address"]));
  for (const program of ["cli.js", "launcher.js"]) chmodSync(join(folder, "dist", program), 0o755);
  if (readFileSync(join(folder, "dist/esm/component.js"), "utf8").includes("JCO_DEBUG")) fail("jco's debug log is still in the package");
  writeFileSync(join(folder, "dist/cjs/package.json"), '{ "type": "commonjs" }\n');
}

async function bundleComponent(format) {
  await build({
    ...common,
    format,
    entryPoints: [`${buildFolder}/component.js`],
    outfile: `${dist}/${format}/component.js`,
    minify: true,
    lineLimit: 500,
  });
}

/** The licences of what a bundle holds of others. */
function licenses(names) {
  return names.map((name) => `${name}\n\n${readFileSync(join(folder, "node_modules", name, "LICENSE"), "utf8")}`).join("\n----\n\n");
}

function packageJson(path) {
  return JSON.parse(readFileSync(join(folder, path), "utf8"));
}

/** The types of both formats: the same files, of which the nearest package.json says what they describe. */
function declarations() {
  for (const project of [folder, join(folder, "cli")]) {
    const { status } = run(process.execPath, [join(folder, "node_modules/typescript/bin/tsc"), "-p", project], { stdio: "inherit" });
    if (status !== 0) fail("the sources do not type-check, see the messages above");
  }
  // What a program sees; the others describe what it does not.
  const visible = new Set(["index.d.ts", ...imports("index.d.ts")]);
  for (const name of readdirSync(join(folder, "dist/esm"))) {
    if (!name.endsWith(".d.ts")) continue;
    if (!visible.has(name)) rmSync(join(folder, "dist/esm", name));
    else cpSync(join(folder, "dist/esm", name), join(folder, "dist/cjs", name));
  }
}

/** The files of types that one imports, directly or not. */
function imports(name, found = new Set()) {
  const text = readFileSync(join(folder, "dist/esm", name), "utf8");
  for (const [, path] of text.matchAll(/from "\.\/(\w+)\.js"/g)) {
    const file = `${path}.d.ts`;
    if (!found.has(file)) imports(file, found.add(file));
  }
  return found;
}

/** Where the WebAssembly in the package comes from, and how to make the same again. */
function provenance(component, modules) {
  const { stdout: rustc } = run("rustc", ["--version"], { cwd: workspace, encoding: "utf8" });
  const record = {
    crate: CRATE,
    version: packageJson("package.json").version,
    source: "guest/engine in the repository that package.json names",
    rebuild: [
      `cargo run --locked --package mcp-reconnect-guests -- ${COMPONENT} (in the repository, with this rustc)`,
      "npm ci && npm run build (in host/node)",
    ],
    rustc: rustc.trim(),
    transpiler: `@bytecodealliance/jco-transpile ${packageJson("node_modules/@bytecodealliance/jco-transpile/package.json").version}`,
    component: { bytes: component.length, sha256: sha256(component) },
    modules: Object.fromEntries(Object.entries(modules).map(([name, bytes]) => [name, { bytes: bytes.length, sha256: sha256(bytes) }])),
  };
  writeFileSync(join(folder, "dist/provenance.json"), `${JSON.stringify(record, undefined, 2)}\n`);
}

function write(name, content) {
  const path = join(folder, buildFolder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

function run(program, args, options) {
  const result = spawnSync(program, args, options);
  if (result.error?.code === "ENOENT") fail(`${program} is missing: install Rust, see https://rustup.rs`);
  if (result.error) fail(`${program} cannot be run: ${result.error.message}`);
  return result;
}

function fail(message) {
  console.error(`mcp-reconnect: ${message}`);
  process.exit(1);
}
