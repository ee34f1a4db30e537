// Makes a program for Node of a component that is a `wasi:cli` command, as `jco run` does: transpiled by jco, on its WASI shim.
// Arguments: a folder with jco's packages in node_modules, the component, the folder to write (below the first).
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, component, folder] = process.argv.slice(2);
const entry = createRequire(join(modules, "package.json")).resolve("@bytecodealliance/jco-transpile");
const { transpile } = await import(pathToFileURL(entry));
const { files } = await transpile(component, { name: "command", outDir: "" });
for (const [name, bytes] of Object.entries(files)) write(name, bytes);
write("package.json", '{ "type": "module" }\n');
write(
  "run.mjs",
  `import { run } from "./command.js";
try {
  run.run();
  process.exit(0);
} catch (error) {
  // What is not the command's own failure is worth a look.
  if (error?.constructor?.name !== "ComponentError") console.error(error);
  process.exit(1);
}
`,
);

function write(name, content) {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}
