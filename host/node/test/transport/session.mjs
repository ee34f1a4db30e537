// What the programs of this folder do with a connection: calls before, during and after the server is away.

/** How often a new session is begun, to see that nothing of the old ones is left. */
const ROUNDS = 6;

/** Drives a connection. `listen` takes the function to give events to. */
export async function session({ send, reconnect, close, listen, ticks }) {
  const answers = new Map();
  const events = [];
  let changed = () => {};
  listen((event) => {
    if (event.tag === "message") {
      const message = JSON.parse(event.val);
      if (message.method === undefined) answers.set(message.id, message);
    } else {
      events.push(event.tag);
    }
    changed();
  });
  const until = async (condition) => {
    while (!condition()) await new Promise((resolve) => (changed = resolve));
  };
  const call = (id, mark) => send({ jsonrpc: "2.0", id, method: "tools/call", params: { name: "run", arguments: { mark } } });
  const answer = async (id) => {
    await until(() => answers.has(id));
    const { result, error } = answers.get(id);
    console.log(result?.content?.[0].text ?? error?.message ?? "initialized");
  };

  const clientInfo = { name: "jco", version: "1" };
  send({ jsonrpc: "2.0", id: 1, method: "initialize", params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo } });
  await answer(1);
  send({ jsonrpc: "2.0", method: "notifications/initialized" });
  call(2, "before");
  await answer(2);
  await until(() => events.includes("connected"));

  // The server goes away when it has seen this, and comes back a little later.
  console.log("go away");
  await until(() => events.includes("disconnected"));
  const before = ticks();
  call(3, "during");
  await until(() => events.includes("reconnecting"));
  console.log("come back");
  await answer(3);
  call(4, "after");
  await answer(4);
  await until(() => events.includes("reconnected"));
  console.log(ticks() > before ? "the event loop went on" : "the event loop stood still");

  // The test looks how many connections there are when it sees the last call.
  for (let round = 1; round <= ROUNDS; round++) {
    const count = () => events.filter((event) => event === "reconnected").length;
    const seen = count();
    reconnect();
    await until(() => count() > seen);
    call(4 + round, "round");
    await answer(4 + round);
  }
  call("last", "last");
  await answer("last");
  close();
}
