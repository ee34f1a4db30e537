// What `jco transpile COMPONENT -o FOLDER` does: node transpile.mjs FOLDER-OF-NODE_MODULES COMPONENT FOLDER
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, component, folder] = process.argv.slice(2);
const entry = join(modules, "node_modules/@bytecodealliance/jco-transpile/dist/index.js");
const { transpile } = await import(pathToFileURL(entry).href);
const { files } = await transpile(component, { name: "engine", outDir: "" });
for (const [name, bytes] of Object.entries(files)) {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}
