"""A real MCP server that is its own authorization server: fastmcp with its provider in memory, which forgets clients and tokens
when it is killed. A person's consent is not asked for: the authorization endpoint sends the browser back at once.

    python fastmcp_oauth.py --port 9000 --journal FILE [--expires SECONDS]

Each execution of the tool and each OAuth request appends a line to the journal.
"""

import argparse
import signal

from fastmcp import FastMCP
from fastmcp.server.auth.auth import ClientRegistrationOptions
from fastmcp.server.auth.providers import in_memory

arguments = argparse.ArgumentParser()
arguments.add_argument("--port", type=int, required=True)
arguments.add_argument("--journal", required=True)
arguments.add_argument("--expires", type=int, default=3600)
options = arguments.parse_args()

in_memory.DEFAULT_ACCESS_TOKEN_EXPIRY_SECONDS = options.expires


def note(line: str) -> None:
    with open(options.journal, "a", encoding="utf-8") as journal:
        journal.write(line + "\n")


class Provider(in_memory.InMemoryOAuthProvider):
    """Says what it is asked for."""

    async def register_client(self, client_info):
        note("oauth register")
        return await super().register_client(client_info)

    async def authorize(self, client, params):
        note("oauth authorize")
        return await super().authorize(client, params)

    async def exchange_authorization_code(self, client, authorization_code):
        note("oauth code")
        return await super().exchange_authorization_code(client, authorization_code)

    async def exchange_refresh_token(self, client, refresh_token, scopes):
        note("oauth refresh")
        return await super().exchange_refresh_token(client, refresh_token, scopes)


def forget_tokens(*_):
    for tokens in (provider.access_tokens, provider.refresh_tokens):
        tokens.clear()
    note("oauth forgets tokens")


signal.signal(signal.SIGUSR1, forget_tokens)

base = f"http://127.0.0.1:{options.port}"
provider = Provider(base_url=base, client_registration_options=ClientRegistrationOptions(enabled=True))
mcp = FastMCP("fastmcp-oauth", auth=provider)


@mcp.tool
def mark(mark: str) -> str:
    """Notes that it ran."""
    note(f"ran {mark}")
    return mark


mcp.run(transport="http", host="127.0.0.1", port=options.port, show_banner=False, log_level="warning")
