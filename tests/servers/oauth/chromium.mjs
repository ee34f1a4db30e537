// A person with Chromium: opens a URL, fills in each form that the browser shows, and presses its button, until the browser is
// sent back to the client. For `$BROWSER`. Ends with 1 if that takes longer than a minute.
//
//   node chromium.mjs URL
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { chromium } from "../../../host/node/test/support/runtimes.mjs";

const PATIENCE = 60_000;

/** Runs in the page: what it shows, and what was done about it. */
function step() {
  if (document.readyState !== "complete") return "loading";
  if (location.pathname === "/callback") return `done: ${document.body.innerText}`;
  const form = document.querySelector("form");
  if (!form) return `no form: ${document.body.innerText}`;
  if (form.dataset.sent) return "sent";
  form.dataset.sent = "yes";
  for (const name of ["login", "password"]) {
    const input = form.elements.namedItem(name);
    if (input) input.value = "somebody";
  }
  form.querySelector("button, input[type=submit]").click();
  return "sent";
}

const { command, env } = await chromium();
const profile = mkdtempSync(join(tmpdir(), "mcp-reconnect-chromium-"));
const flags = ["--headless=shell", "--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-dev-shm-usage", `--user-data-dir=${profile}`, "--remote-debugging-pipe"];
const browser = spawn(command, [...flags, "about:blank"], { env, stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"] });
const closed = new Promise((resolve) => browser.once("close", resolve));
const late = setTimeout(() => browser.kill("SIGKILL"), PATIENCE);
try {
  // The browser's protocol goes over two pipes, each message ended by a zero byte.
  const [requests, responses] = browser.stdio.slice(3);
  let errors = "";
  browser.stderr.on("data", (text) => (errors += text));
  const answers = new Map();
  let read = "";
  responses.setEncoding("utf8").on("data", (text) => {
    const messages = (read + text).split("\0");
    read = messages.pop();
    for (const { id, result, error } of messages.map((message) => JSON.parse(message))) answers.get(id)?.(result ?? { error });
  });
  let last = 0;
  let sessionId;
  const ask = (method, params = {}) =>
    new Promise((resolve, reject) => {
      last += 1;
      answers.set(last, resolve);
      closed.then(() => reject(new Error(`Chromium ended: ${errors}`)));
      requests.write(`${JSON.stringify({ id: last, sessionId, method, params })}\0`);
    });
  const { targetInfos } = await ask("Target.getTargets");
  const { targetId } = targetInfos.find((target) => target.type === "page");
  ({ sessionId } = await ask("Target.attachToTarget", { targetId, flatten: true }));
  await ask("Page.navigate", { url: process.argv[2] });
  let said = "loading";
  while (!said.startsWith("done: ")) {
    // A page that is being left answers nothing of use; the next one is asked.
    const { result } = await ask("Runtime.evaluate", { expression: `(${step})()` });
    said = result?.value ?? "loading";
    if (said.startsWith("no form: ")) throw new Error(said);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  console.log(said);
} finally {
  clearTimeout(late);
  browser.kill("SIGKILL");
  await closed;
  rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
}
