// Options from the environment, as `mcp_reconnect_command::variable` has them: `--hold-timeout` is `MCP_RECONNECT_HOLD_TIMEOUT`. What
// the command line says goes before. An empty variable is none.
import { Refused } from "./duration.js";

/** The server's URL, where the command line has none. */
export const URL_VARIABLE = "MCP_RECONNECT_URL";

/** The variable of an option, which is named without its dashes. */
export function variableOf(option: string): string {
  return `MCP_RECONNECT_${option.replaceAll("-", "_").toUpperCase()}`;
}

/** Whether a switch is on. Throws `Refused`. */
export function switchOf(text: string): boolean {
  if (/^(1|true|yes|on)$/i.test(text)) return true;
  if (/^(0|false|no|off)$/i.test(text)) return false;
  throw new Refused("write 1 or 0");
}

/** The values of an option that may be repeated: one a line. */
export function linesOf(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}
