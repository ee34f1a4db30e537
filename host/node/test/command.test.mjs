// The cases of tests/cases/command.json, which the native command passes too.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

import { Command, INITIALIZE, INITIALIZED, workspace } from "./support/command.mjs";
import { freePort } from "./support/port.mjs";
import { Scripted } from "./support/scripted.mjs";

/** The end comes within a second; the rest is for a busy machine. */
const END = 4000;

const cases = JSON.parse(readFileSync(join(workspace, "tests/cases/command.json"), "utf8"));

describe("the command's cases", { concurrency: 4 }, () => {
  for (const one of cases) test(one.name, (t) => run(t, one));
});

async function run(
  t,
  { server: kind, rules = [], args, env = {}, steps = [], exit, stdout = [], stderr = [], only = {}, absent = [], absent_stderr = [] },
) {
  const server = kind && (await served(t, kind, rules));
  const withUrl = (text) => text.replace("{url}", server?.url ?? "");
  const variables = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, withUrl(value)]));
  const command = new Command(args.map(withUrl), variables);
  t.after(() => command.kill());
  let asked = false;
  for (const step of steps) {
    if (step === "initialize") await initialize(command);
    else if ("send" in step) command.write(`${step.send.replace(/\{x\*(\d+)\}/, (_, times) => "x".repeat(times))}\n`);
    else if ("bytes" in step) command.write(Buffer.from(step.bytes, "hex"));
    else if ("await" in step) await command.stdout.next(matcher(step.await));
    else if ("await_stderr" in step) await command.stderr.next(matcher(step.await_stderr));
    else if ("signal" in step) command.signal(`SIG${step.signal}`);
    else await server[step.server]();
    asked ||= ["TERM", "INT"].includes(step.signal);
  }
  const begun = performance.now();
  if (!asked) command.closeStdin();
  const { code, signal } = await command.end();
  const took = performance.now() - begun;
  const said = `${command.stdout.text}\n--- stderr\n${command.stderr.text}`;
  assert.deepEqual({ code, signal }, { code: exit, signal: null }, said);
  if (steps.length > 0) assert.ok(took < END, `it took ${took} ms to end`);
  const expected = exit === 2 ? { stdout: 0, stderr: 1 } : only;
  for (const [name, patterns] of Object.entries({ stdout, stderr })) {
    const { lines } = command[name];
    if (expected[name] !== undefined) assert.equal(lines.length, expected[name], `lines on ${name}:\n${said}`);
    let from = 0;
    for (const pattern of patterns) {
      const index = lines.findIndex((line, index) => index >= from && matcher(pattern)(line));
      assert.ok(index >= 0, `${name} has no line ${pattern} from line ${from} on:\n${said}`);
      from = index + 1;
    }
  }
  for (const text of absent) assert.ok(!said.includes(text), `${text} is shown:\n${said}`);
  for (const text of absent_stderr) assert.ok(!command.stderr.text.includes(text), `${text} is shown:\n${said}`);
}

async function served(t, kind, rules) {
  const stateless = kind === "stateless";
  const server = new Scripted({ sse: kind === "sse", stateless, stream: !stateless, on: scripted(rules) });
  server.port = await freePort();
  if (kind !== "reserved") await server.up();
  t.after(() => server.listener && server.stop());
  return server;
}

/** What the scripted server answers in place of what is good. */
function scripted(rules) {
  const left = rules.map(({ times = Infinity }) => times);
  return ({ kind, request, response, message }) => {
    const has = ([name, pattern]) => name in request.headers && matcher(pattern)(request.headers[name]);
    const index = rules.findIndex(
      ({ on, when = {} }, index) => left[index] > 0 && (on === "*" || on === kind) && Object.entries(when).every(has),
    );
    if (index < 0) return false;
    left[index] -= 1;
    const { status, headers = [], body = "", bytes } = rules[index];
    const content = bytes ? Buffer.from(bytes, "hex") : body.replace("{id}", JSON.stringify(message?.id));
    response.writeHead(status, [...headers, ["content-length", String(Buffer.byteLength(content))]].flat()).end(content);
    return true;
  };
}

async function initialize(command) {
  command.write(`${INITIALIZE}\n`);
  await command.stdout.next(matcher(['"id":1', '"result"']));
  command.write(`${INITIALIZED}\n`);
}

/** Whether a line contains a pattern, in which `*` is any text, or each of several. */
function matcher(patterns) {
  const all = [patterns].flat().map((pattern) => pattern.split("*"));
  return (line) =>
    all.every((pieces) => {
      let from = 0;
      return pieces.every((piece) => {
        const at = line.indexOf(piece, from);
        from = at + piece.length;
        return at >= 0;
      });
    });
}
