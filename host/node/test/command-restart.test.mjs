// Real servers are killed with SIGKILL and started again under the package's command: its client notices a delay.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Command, INITIALIZE, INITIALIZED } from "./support/command.mjs";
import { KINDS, Server } from "./support/servers.mjs";

for (const name of Object.keys(KINDS)) {
  test(`the command with ${name}`, async (t) => {
    const server = await Server.start(name);
    t.after(() => server.stop());
    const { echo, unsafe } = server.kind;
    const command = new Command([String(server.url)]);
    t.after(() => command.kill());
    const answers = new Map();
    const request = (id, method, params) => command.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`);
    const answer = async (id) => {
      while (!answers.has(id)) {
        const message = JSON.parse(await command.stdout.next(() => true));
        if (message.method) continue;
        assert.ok(!answers.has(message.id), `a second answer to ${message.id}`);
        answers.set(message.id, message);
      }
      return answers.get(id);
    };
    const text = async (id) => (await answer(id)).result.content[0].text;

    command.write(`${INITIALIZE}\n`);
    await answer(1);
    command.write(`${INITIALIZED}\n`);
    request(2, "tools/call", echo("before"));
    assert.match(await text(2), /before/);

    // One call runs when the server dies, and one is made while it is down.
    const mark = `mark-${server.port}-in-flight`;
    request("in flight", "tools/call", unsafe(mark));
    await server.seen(mark);
    await server.kill();
    await command.stderr.next((line) => /disconnected|trying again/.test(line));
    request(3, "tools/call", echo("while down"));
    await server.start();
    assert.match(await text(3), /while down/);
    const { error } = await answer("in flight");
    assert.equal(error.code, -31001);
    assert.equal(error.data.method, "tools/call");
    assert.equal(server.count(mark), 1, "a call ran twice");

    // The next call finds nothing amiss, also after a restart that nobody noticed.
    request(4, "tools/call", echo("after"));
    assert.match(await text(4), /after/);
    await server.restart();
    request(5, "tools/call", echo("after the second"));
    assert.match(await text(5), /after the second/);

    // The end of the server and the next call reach the command in the same turn of its event loop: the server was gone first.
    command.signal("SIGSTOP");
    await server.kill();
    request(6, "tools/call", echo("at the same time"));
    command.signal("SIGCONT");
    await command.stderr.next((line) => /disconnected|trying again/.test(line));
    await server.start();
    assert.match(await text(6), /at the same time/);

    const begun = performance.now();
    command.closeStdin();
    assert.deepEqual(await command.end(), { code: 0, signal: null });
    assert.ok(performance.now() - begun < 2000);
    assert.deepEqual([...answers.keys()].sort(), [1, 2, 3, 4, 5, 6, "in flight"]);
    assert.ok(!/session_?id=/i.test(command.stderr.text), command.stderr.text);
  });
}
