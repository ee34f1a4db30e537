// The npm package's transport with the official TypeScript SDK's client: connects to the URL that is given, and writes a line with what
// came of it. PACKAGE: the built package's folder; SDK_FOLDER: the installed SDK.
import { pathToFileURL } from "node:url";

const { Client } = await import(new URL("dist/esm/client/index.js", pathToFileURL(`${process.env.SDK_FOLDER}/`)));
const { ReconnectingTransport } = await import(new URL("dist/esm/index.js", pathToFileURL(`${process.env.PACKAGE}/`)));

const client = new Client({ name: "npm-transport", version: "1" });
try {
  await client.connect(new ReconnectingTransport(process.argv[2]));
  const { tools } = await client.listTools();
  console.log(JSON.stringify({ tools: tools.map(({ name }) => name) }));
} catch (error) {
  console.log(JSON.stringify({ error: String(error) }));
}
await client.close();
