// What to say of what people type out of habit, with the words of `mcp_reconnect_command::hint`, and of what the native command has.

const CERTIFICATES = "certificates are always checked; to trust one of your own: --ca-cert FILE (its authority's, as PEM)";
const MORE = "for more on stderr: --log debug";
const FOREIGN: Record<string, string> = {
  "-k": CERTIFICATES,
  "--insecure": CERTIFICATES,
  "--allow-http": "http:// URLs are taken as they are; leave it out",
  "--config": "the native command alone reads a configuration file",
  "-v": MORE,
  "--verbose": MORE,
  "--debug": MORE,
};

/** What to do in place of an option that other programs have, written as it was typed. */
export function foreignOption(option: string): string | undefined {
  return Object.hasOwn(FOREIGN, option) ? FOREIGN[option] : undefined;
}

/** What to say of a URL that begins with its host; undefined if that is not what is wrong with it. No secret is in it. */
export function missingScheme(text: string): string | undefined {
  if (text.startsWith("-") || text.includes("://") || /^https?:/i.test(text) || /[\s@#]/.test(text)) return undefined;
  const rest = text.replace(/^\/+/, "");
  if (!rest || !URL.canParse(`http://${rest}`)) return undefined;
  const scheme = isLoopback(new URL(`http://${rest}`).hostname) ? "http" : "https";
  const { host, pathname, search } = new URL(`${scheme}://${rest}`);
  return `the scheme is missing; write ${scheme}://${host}${pathname}${search && "?…"}`;
}

function isLoopback(host: string): boolean {
  return /^(.+\.)?localhost\.?$/.test(host) || /^127(\.\d+){3}$/.test(host) || host === "[::1]";
}
