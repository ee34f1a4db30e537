// Packs what goes to npm: the package, and one with the native program for each platform that a program was built for. The package
// must be built (`npm run build`).
//
//     node scripts/pack.mjs --out FOLDER [TARGET=PROGRAM]...
//
// TARGET is one of release/targets.json, PROGRAM the file of the program for it. The package depends on the packages of all
// platforms of that file, optionally, so that npm installs the one that fits, or none.
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const folder = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const workspace = resolve(process.env.MCP_RECONNECT_WORKSPACE ?? join(folder, "../.."));
const platforms = JSON.parse(readFileSync(join(workspace, "release/targets.json"), "utf8"));
const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));

const { values, positionals } = parseArgs({ allowPositionals: true, options: { out: { type: "string" } } });
if (!values.out) fail("usage: node scripts/pack.mjs --out FOLDER [TARGET=PROGRAM]...");
if (!existsSync(join(folder, "dist/launcher.js"))) fail("the package is not built; build it with: npm run build");
const out = resolve(values.out);
mkdirSync(out, { recursive: true });
const scratch = mkdtempSync(join(tmpdir(), "mcp-reconnect-pack-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
for (const argument of positionals) packNative(argument);
packMain();

/** The package with the program for one platform. */
function packNative(argument) {
  const [target, program] = argument.split(/=(.*)/s);
  const platform = platforms.find((it) => it.target === target);
  if (!platform || !program) fail(`${argument} is not TARGET=PROGRAM with a target of release/targets.json`);
  if (!existsSync(program)) fail(`there is no program ${program}`);
  const { version, license, repository, keywords } = manifest;
  const stage = join(scratch, platform.npm);
  const name = join("bin", platform.os === "win32" ? "mcp-reconnect.exe" : "mcp-reconnect");
  mkdirSync(join(stage, "bin"), { recursive: true });
  copyFileSync(program, join(stage, name));
  chmodSync(join(stage, name), 0o755);
  copyFileSync(join(workspace, "LICENSE"), join(stage, "LICENSE"));
  writeFileSync(
    join(stage, "README.md"),
    `# ${packageName(platform)}\n\nThe native program of [mcp-reconnect](https://www.npmjs.com/package/mcp-reconnect) for ${target}. Install that package: npm chooses this one.\n`,
  );
  json(join(stage, "package.json"), {
    name: packageName(platform),
    version,
    description: `The native program of mcp-reconnect for ${target}`,
    license,
    repository,
    keywords,
    os: [platform.os],
    cpu: [platform.cpu],
    files: ["bin"],
    // The program must be a file of its own, not an entry of an archive.
    preferUnplugged: true,
  });
  pack(stage);
}

/** The package itself: as it is in the repository, and with the platforms' packages. */
function packMain() {
  const stage = join(scratch, "mcp-reconnect");
  for (const name of ["README.md", "LICENSE", ...manifest.files]) cpSync(join(folder, name), join(stage, name), { recursive: true });
  const optionalDependencies = Object.fromEntries(platforms.map((platform) => [packageName(platform), manifest.version]));
  const { devDependencies: _, overrides: __, scripts: ___, ...published } = manifest;
  json(join(stage, "package.json"), { ...published, optionalDependencies });
  pack(stage);
}

function packageName(platform) {
  return `@mcp-reconnect/${platform.npm}`;
}

function json(path, value) {
  writeFileSync(path, `${JSON.stringify(value, undefined, 2)}\n`);
}

function pack(stage) {
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const { status, error } = spawnSync(npm, ["pack", "--silent", "--pack-destination", out], {
    cwd: stage,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (error || status !== 0) fail(`npm pack failed in ${stage}: ${error?.message ?? `exit status ${status}`}`);
}

function fail(message) {
  console.error(`mcp-reconnect: ${message}`);
  process.exit(1);
}
