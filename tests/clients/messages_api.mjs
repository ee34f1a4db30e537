// A stand-in for the Messages API, for Claude Code and opencode: no model, it does what the user's words say.
//
//     node messages_api.mjs PORT
//
// A user's word `CALL:tool:name=value:…` is answered with the use of that tool; what the tool gives back ends the turn. Each request
// is a line on stdout. It is a proxy too, which lets nothing through: what an application wants of any other host is a line
// `{"refused": "host:port"}`.
import { createServer } from "node:http";

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

/** What the model says to this conversation: the use of the tool that was ordered last, if it has not been used for that yet. */
function reply(messages) {
  const blocks = messages.flatMap(({ content }) => (typeof content === "string" ? [{ type: "text", text: content }] : content));
  const orders = blocks.flatMap(({ text }) => [...(text ?? "").matchAll(/CALL:([\w-]+)((?::\w+=[\w-]+)*)/g)]);
  if (orders.length > blocks.filter(({ type }) => type === "tool_use").length) {
    const [, tool, input] = orders.at(-1);
    const members = input.split(":").slice(1).map((member) => member.split("="));
    return { tool, input: Object.fromEntries(members.map(([name, value]) => [name, Number.isNaN(Number(value)) ? value : Number(value)])) };
  }
  const content = blocks.findLast(({ type }) => type === "tool_result")?.content ?? "nothing";
  return { text: `the tool said: ${typeof content === "string" ? content : content.map(({ text }) => text ?? "").join("")}` };
}

function* events({ text, tool, input }, model) {
  const message = { id: "msg_stand_in", type: "message", role: "assistant", model, content: [], stop_reason: null, stop_sequence: null };
  yield { type: "message_start", message: { ...message, usage: { input_tokens: 1, output_tokens: 1 } } };
  if (tool) {
    const id = `toolu_${Date.now()}${Math.random().toString(36).slice(2, 8)}`;
    yield { type: "content_block_start", index: 0, content_block: { type: "tool_use", id, name: tool, input: {} } };
    yield { type: "content_block_delta", index: 0, delta: { type: "input_json_delta", partial_json: JSON.stringify(input) } };
  } else {
    yield { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } };
    yield { type: "content_block_delta", index: 0, delta: { type: "text_delta", text } };
  }
  yield { type: "content_block_stop", index: 0 };
  yield { type: "message_delta", delta: { stop_reason: tool ? "tool_use" : "end_turn", stop_sequence: null }, usage: { output_tokens: 1 } };
  yield { type: "message_stop" };
}

const server = createServer((request, response) => {
  if (/^https?:/.test(request.url)) {
    say({ refused: new URL(request.url).host });
    return response.writeHead(403).end();
  }
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const path = request.url.split("?")[0];
    if (request.method !== "POST" || !path.endsWith("/messages")) {
      say({ other: `${request.method} ${path}` });
      return response.writeHead(404, { "content-type": "application/json" }).end('{"type":"error","error":{"type":"not_found_error","message":"none"}}');
    }
    const body = JSON.parse(Buffer.concat(parts).toString());
    const answer = reply(body.messages);
    say({ model: body.model, tools: (body.tools ?? []).map(({ name }) => name), answer });
    if (!body.stream) {
      const content = answer.tool ? [{ type: "tool_use", id: "toolu_1", name: answer.tool, input: answer.input }] : [{ type: "text", text: answer.text }];
      const message = { id: "msg_stand_in", type: "message", role: "assistant", model: body.model, content, stop_reason: answer.tool ? "tool_use" : "end_turn", usage: { input_tokens: 1, output_tokens: 1 } };
      return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(message));
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of events(answer, body.model)) response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    response.end();
  });
});
server.on("connect", (request, socket) => {
  say({ refused: request.url });
  socket.on("error", () => {}).end("HTTP/1.1 403 Forbidden\r\n\r\n");
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => say({ listening: true }));
