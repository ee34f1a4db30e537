// Runs the tests, each file in a process of its own: all, or those whose names are given (`npm test -- restart`).
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const folder = resolve(dirname(fileURLToPath(import.meta.url)), "..");
if (!existsSync(join(folder, "dist"))) {
  console.error("mcp-reconnect: the package is not built; build it with: npm run build");
  process.exit(1);
}
const wanted = process.argv.slice(2);
const files = readdirSync(join(folder, "test"))
  .filter((name) => name.endsWith(".test.mjs") && (wanted.length === 0 || wanted.includes(name.slice(0, -".test.mjs".length))))
  .map((name) => join(folder, "test", name));
const { status } = spawnSync(
  process.execPath,
  ["--test", "--test-concurrency=2", "--test-timeout=600000", "--test-reporter=spec", ...files],
  { cwd: folder, stdio: "inherit", timeout: 1_800_000 },
);
process.exit(status ?? 1);
