// What is published: which files, of which origin, with which types, for which ways of loading.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

const folder = fileURLToPath(new URL("..", import.meta.url));
const workspace = process.env.MCP_RECONNECT_WORKSPACE ?? join(folder, "../..");
const read = (path) => readFileSync(join(folder, path), "utf8");
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** Where somebody has installed the package, as it is packed. */
let consumer;
let installed;
let packed;

before(() => {
  consumer = mkdtempSync(join(tmpdir(), "mcp-reconnect-consumer-"));
  const npm = (...args) => execFileSync("npm", args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  [packed] = JSON.parse(npm("pack", "--json", "--ignore-scripts", "--pack-destination", consumer));
  installed = join(consumer, "node_modules/mcp-reconnect");
  mkdirSync(installed, { recursive: true });
  execFileSync("tar", ["-xzf", join(consumer, packed.filename), "--strip-components=1", "-C", installed]);
});

after(() => rmSync(consumer, { recursive: true, force: true }));

test("the package has these files, and its README states their size", () => {
  const files = packed.files.map(({ path }) => path).sort();
  const types = ["events", "fetch", "index", "options", "transport"].map((name) => `${name}.d.ts`);
  const format = (name, more) => [...types, "component.js", "index.js", ...more].map((file) => `dist/${name}/${file}`);
  const expected = [
    "LICENSE",
    "README.md",
    "package.json",
    "dist/cli.js",
    "dist/launcher.js",
    "dist/provenance.json",
    "dist/socks.js",
    "dist/socks.licenses.txt",
    ...format("esm", []),
    ...format("cjs", ["package.json"]),
  ];
  assert.deepEqual(files, expected.sort());
  const stated = /(\d+) kB to download, ([\d.]+) MB on disk/.exec(read("README.md"));
  assert.ok(stated, "README.md states the size");
  const near = (claim, size) => assert.ok(Math.abs(claim - size) / size < 0.1, `README.md says ${claim}, it is ${size}`);
  near(Number(stated[1]), packed.size / 1e3);
  near(Number(stated[2]), packed.unpackedSize / 1e6);
});

test("it depends on nothing at run time, and runs nothing when it is installed", () => {
  const manifest = JSON.parse(read("package.json"));
  assert.equal(manifest.dependencies, undefined);
  assert.deepEqual(
    Object.keys(manifest.scripts).filter((name) => /^(pre|post)?install$/.test(name)),
    [],
  );
  assert.ok(Object.values(manifest.peerDependenciesMeta).every(({ optional }) => optional));
  for (const name of ["esm/index.js", "esm/component.js", "cjs/index.js", "cjs/component.js"]) {
    const imported = [...read(`dist/${name}`).matchAll(/(?:from|require\(|import\()\s*["']([^"']+)["']/g)].map(([, path]) => path);
    assert.ok(
      imported.every((path) => path.startsWith("./")),
      `${name} imports ${imported}`,
    );
    // Deno asks for a permission otherwise.
    assert.doesNotMatch(read(`dist/${name}`), /process\W+env|Deno\.env/);
  }
});

test("its version is that of the Rust crates, and its WebAssembly is theirs", async () => {
  const { version } = JSON.parse(read("package.json"));
  assert.equal(/^version = "(.+)"$/m.exec(readFileSync(join(workspace, "Cargo.toml"), "utf8"))[1], version);
  const record = JSON.parse(readFileSync(join(installed, "dist/provenance.json"), "utf8"));
  assert.equal(record.version, version);
  const built = readFileSync(join(workspace, "target/components/engine.wasm"));
  assert.deepEqual(record.component, { bytes: built.length, sha256: sha256(built) });
  for (const format of ["esm", "cjs"]) {
    const loaded = await import(pathToFileURL(join(installed, "dist", format, "component.js")).href);
    const { MODULES } = loaded.default ?? loaded;
    assert.deepEqual(Object.keys(MODULES).sort(), Object.keys(record.modules).sort());
    for (const [name, text] of Object.entries(MODULES)) {
      const bytes = Buffer.from(text, "base64");
      assert.deepEqual(record.modules[name], { bytes: bytes.length, sha256: sha256(bytes) });
      assert.deepEqual(
        WebAssembly.Module.imports(new WebAssembly.Module(bytes)).filter(({ module }) => module.startsWith("wasi")),
        [],
      );
    }
  }
});

test("it is loaded by import and by require", () => {
  const start =
    'const t = new ReconnectingTransport("http://127.0.0.1:9/mcp"); t.start().then(() => t.close()).then(() => console.log(t.status().state));';
  writeFileSync(join(consumer, "module.mjs"), `import { ReconnectingTransport } from "mcp-reconnect";\n${start}`);
  writeFileSync(join(consumer, "script.cjs"), `const { ReconnectingTransport } = require("mcp-reconnect");\n${start}`);
  for (const program of ["module.mjs", "script.cjs"]) {
    const { stdout, stderr, status } = spawnSync(process.execPath, [program], { cwd: consumer, encoding: "utf8" });
    assert.deepEqual([stdout, stderr, status], ["closed\n", "", 0], program);
  }
});

test("its types hold, for both formats, alone and with both SDKs", () => {
  const types = fileURLToPath(new URL("types", import.meta.url));
  const check = (name, files, options) => {
    const project = join(consumer, name);
    mkdirSync(project);
    for (const file of files) cpSync(join(types, file), join(project, file.replace(/ts$/, options.extension)));
    const { type, extension: _, ...rest } = options;
    writeFileSync(join(project, "package.json"), JSON.stringify({ type }));
    const compilerOptions = {
      target: "ES2022",
      module: "NodeNext",
      lib: ["ES2023", "DOM", "DOM.Iterable"],
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      types: [],
      ...rest,
    };
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions }));
    const { stdout, status } = spawnSync(process.execPath, [join(folder, "node_modules/typescript/bin/tsc"), "-p", project], {
      encoding: "utf8",
    });
    assert.equal(status, 0, stdout);
  };
  check("alone-esm", ["program.ts"], { type: "module", extension: "ts", skipLibCheck: false });
  check("alone-cjs", ["program.ts"], { type: "commonjs", extension: "ts", skipLibCheck: false });
  // The SDKs, from this package's own installation.
  for (const name of readdirSync(join(folder, "node_modules"))) {
    const from = join(folder, "node_modules", name);
    if (!name.startsWith(".") && statSync(from).isDirectory()) linked(from, join(consumer, "node_modules", name));
  }
  check("sdks", ["sdks.ts"], { type: "module", extension: "ts", skipLibCheck: true, types: ["node"] });
});

function linked(from, to) {
  spawnSync("ln", ["-sn", from, to]);
}

test("a rejection that nobody handles fails the tests", () => {
  const file = join(consumer, "unhandled.test.mjs");
  writeFileSync(file, 'import { test } from "node:test";\ntest("passes", () => void Promise.reject(new Error("nobody handles this")));\n');
  const { status } = spawnSync(process.execPath, ["--test", file], {
    encoding: "utf8",
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
  });
  assert.equal(status, 1);
});
