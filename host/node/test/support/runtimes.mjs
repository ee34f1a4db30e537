// The runtimes beside the Node that runs the tests, from the lock file in test/runtimes, installed on first use.
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { workspace } from "./command.mjs";
import { Process } from "./process.mjs";

const platform = `${process.platform}-${process.arch}`;
const bun = { "linux-x64": "linux-x64", "linux-arm64": "linux-aarch64" }[platform];

const PATHS = {
  "Node 22": `node-22-${platform}/bin/node`,
  "Node 24": `node-24-${platform}/bin/node`,
  "Node 26": `node-26-${platform}/bin/node`,
  Bun: `@oven/bun-${bun}/bin/bun`,
  Deno: `@deno/${platform}-glibc/deno`,
};

/** Downloading 230 MB may take its time. */
const INSTALL = 600_000;

let installing;
let unpacking;

/** The path of a runtime's program. */
export async function runtime(name) {
  if (name === "this Node") return process.execPath;
  const folder = await (installing ??= installed("runtimes"));
  const program = join(folder, "node_modules", PATHS[name]);
  if (!existsSync(program))
    throw new Error(
      `there is no ${name} for ${platform} in host/node/test/runtimes/package.json; add one, then: npm install --package-lock-only`,
    );
  chmodSync(program, 0o755);
  return program;
}

/** A headless Chromium: the command, and the environment that it needs. */
export async function chromium() {
  const folder = await (unpacking ??= installed("browser", unpack));
  const home = join(folder, "browser");
  const env = { ...process.env, HOME: home, LD_LIBRARY_PATH: join(home, "al2023", "lib") };
  return { command: join(home, "chromium"), env };
}

/** The package has the browser, and the libraries that a machine without a desktop lacks, in archives. */
async function unpack(folder) {
  const home = join(folder, "browser");
  mkdirSync(home);
  const script = 'import chromium from "@sparticuz/chromium"; await chromium.executablePath();';
  const env = { ...process.env, TMPDIR: home, AWS_LAMBDA_JS_RUNTIME: "nodejs22.x" };
  const node = new Process(process.execPath, ["--input-type=module", "--eval", script], { cwd: folder, env });
  const { code } = await node.end(INSTALL);
  if (code !== 0) throw new Error(`the browser cannot be unpacked:\n${node.stderr}`);
}

/** A folder with the packages of a list. It appears as a whole, so that several test runs may want it at once. */
async function installed(list, finish = async () => {}) {
  const lists = fileURLToPath(new URL(`../${list}/`, import.meta.url));
  const names = ["package.json", "package-lock.json"];
  const hash = createHash("sha256")
    .update(readFileSync(join(lists, "package-lock.json")))
    .digest("hex")
    .slice(0, 16);
  const folder = join(workspace, "target", `node-${list}-${hash}`);
  if (existsSync(folder)) return folder;
  const draft = `${folder}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  for (const name of names) copyFileSync(join(lists, name), join(draft, name));
  const npm = new Process("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: draft });
  const { code } = await npm.end(INSTALL).catch((error) => ({ code: error.message }));
  if (code !== 0)
    throw new Error(`\`npm ci\` in host/node/test/${list} failed (${code}): the registry must be reachable once\n${npm.stderr}`);
  await finish(draft);
  try {
    renameSync(draft, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
    rmSync(draft, { recursive: true });
  }
  return folder;
}
