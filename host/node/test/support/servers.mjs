// Real MCP servers, killed and started again on their port.
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { accepts, freePort } from "./port.mjs";
import { Process } from "./process.mjs";
import { until } from "./wait.mjs";

const packageFolder = fileURLToPath(new URL("../../", import.meta.url));
const workspace = process.env.MCP_RECONNECT_WORKSPACE ?? join(packageFolder, "../..");
const tests = join(workspace, "tests");

/** A server may have to load much, beside others that do the same. */
const STARTUP = 60_000;

const everything = (transport) => ({
  sse: transport === "sse",
  command: async (port, journal) => [
    process.env.MCP_RECONNECT_TEST_NODE ?? "node",
    [
      "--import",
      join(tests, "servers/node/preload.mjs"),
      join(packageFolder, "node_modules/@modelcontextprotocol/server-everything/dist/index.js"),
      transport,
    ],
    { PORT: `${port}`, TEST_JOURNAL: journal },
  ],
  echo: (text) => ({ name: "echo", arguments: { message: text } }),
  // It notes every byte of a request, so the mark shows how often the call was delivered.
  unsafe: (mark) => ({ name: "trigger-long-running-operation", arguments: { duration: 600, steps: 1, mark } }),
});

const python = (transport) => ({
  sse: transport === "sse",
  command: async (port, journal) => [
    await pythonProgram(),
    [join(tests, "servers/python/server.py"), "--transport", transport, "--port", `${port}`, "--journal", journal],
    {},
  ],
  echo: (text) => ({ name: "echo", arguments: { text } }),
  unsafe: (mark) => ({ name: "slow", arguments: { seconds: 600, mark } }),
});

/** The reference server of the TypeScript SDK and FastMCP of the Python SDK, over both transports. */
export const KINDS = {
  "everything over Streamable HTTP": { ...everything("streamableHttp"), eventIds: true },
  "everything over HTTP+SSE": everything("sse"),
  "FastMCP over Streamable HTTP": python("streamable-http"),
  "FastMCP over HTTP+SSE": python("sse"),
};

const typescript = (...options) => ({
  sse: false,
  command: async (port, journal) => [
    process.env.MCP_RECONNECT_TEST_NODE ?? "node",
    [join(tests, "servers/modern/server.mjs"), "--port", `${port}`, "--journal", journal, ...options],
    { SDK_FOLDER: await modules() },
  ],
});

/** Servers of the TypeScript SDK that speak MCP 2026-07-28. */
export const MODERN = {
  "a server of both kinds of versions": typescript(),
  "a server of MCP 2026-07-28 only": typescript("--legacy", "reject"),
};

export class Server {
  #process;

  static async start(name) {
    const server = new Server();
    server.kind = KINDS[name] ?? MODERN[name];
    server.port = await freePort();
    server.journal = join(tmpdir(), `mcp-reconnect-${process.pid}-${server.port}.journal`);
    writeFileSync(server.journal, "");
    await server.start();
    return server;
  }

  get url() {
    return new URL(`http://127.0.0.1:${this.port}/${this.kind.sse ? "sse" : "mcp"}`);
  }

  async start() {
    const [command, args, env] = await this.kind.command(this.port, this.journal);
    const server = new Process(command, args, { env: { ...process.env, ...env } });
    this.#process = server;
    await until(
      `the server accepts connections on port ${this.port}`,
      async () => {
        if (!server.running) throw new Error(`the server ended at its start:\n${server.stderr}`);
        return accepts(this.port);
      },
      STARTUP,
    );
  }

  /** `kill -9`. */
  async kill() {
    await this.#process.kill();
  }

  async restart() {
    await this.kill();
    await this.start();
  }

  /** How often `mark` stands in the journal of all its lives. */
  count(mark) {
    return readFileSync(this.journal, "utf8").split(mark).length - 1;
  }

  async seen(mark) {
    await until(`the server sees ${mark}`, () => this.count(mark) > 0);
  }

  async stop() {
    await this.kill();
    rmSync(this.journal, { force: true });
  }
}

let modulesPath;

/** The `node_modules` with the server's SDK: those that are given, or installed in the build folder from the lock file on first use. */
function modules() {
  return (modulesPath ??= installModules());
}

async function installModules() {
  const given = process.env.MCP_RECONNECT_TEST_MODERN;
  if (given) return given;
  const folder = await installed("node-modern", async (folder) => {
    for (const name of ["package.json", "package-lock.json"]) copyFileSync(join(tests, "servers/modern", name), join(folder, name));
    await run("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts"], "a package registry must be reachable once", { cwd: folder });
  });
  return join(folder, "node_modules");
}

/** A folder of the build folder that `install` fills on first use. */
async function installed(name, install) {
  const folder = join(workspace, "target", name);
  const done = join(folder, "installed");
  if (existsSync(done)) return folder;
  mkdirSync(folder, { recursive: true });
  await install(folder);
  writeFileSync(done, "");
  return folder;
}

async function run(command, args, mend, options) {
  const child = new Process(command, args, options);
  const { code } = await child.end(300_000).catch((error) => ({ code: error.message }));
  if (code !== 0) throw new Error(`\`${command}\` failed (${code}): ${mend}\n${child.stderr}`);
}

let pythonPath;

/** The Python with the SDK: the one that is given, or a virtual environment in the build folder, made from the lock file on first use. */
function pythonProgram() {
  return (pythonPath ??= installPython());
}

async function installPython() {
  const given = process.env.MCP_RECONNECT_TEST_PYTHON;
  if (given) return given;
  const folder = await installed("node-python", async (folder) => {
    await run(
      "python3",
      ["-m", "venv", folder],
      "install Python 3.10 or newer with venv, for instance `apt-get install python3 python3-venv`",
    );
    const requirements = join(tests, "servers/python/requirements.txt");
    const install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", requirements];
    await run(join(folder, "bin/python"), install, "a package index must be reachable once");
  });
  return join(folder, "bin/python");
}
