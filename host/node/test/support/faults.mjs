// The package with a component that fails when a message says so: `guest/common/faults.rs`.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../", import.meta.url));

/** Builds it beside the good one, and gives the folder. */
export function faulty() {
  const { status, stderr } = spawnSync(process.execPath, [join(folder, "scripts/build.mjs"), "--faults"], {
    cwd: folder,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  return join(folder, "dist-faults");
}
