//! Configuration files as the clients write them.

/// Claude Code, a project's `.mcp.json`: JSON of two spaces.
pub const CLAUDE_CODE: &str = r#"{
  "mcpServers": {
    "jarvis": {
      "type": "sse",
      "url": "https://jarvis.internal/sse",
      "headers": {
        "Authorization": "Bearer ${JARVIS_TOKEN}",
        "X-Api-Key": "s3cret-key"
      }
    },
    "files": {
      "type": "stdio",
      "command": "npx",
      "args": ["-y", "@modelcontextprotocol/server-filesystem"],
      "env": {}
    },
    "billing": {
      "type": "http",
      "url": "${BILLING:-https://billing.internal}/mcp?key=s3cret-query",
      "headersHelper": "/opt/bin/billing-headers.sh --tenant 7",
      "timeout": 60000
    }
  }
}
"#;

/// Cursor: a URL without a type, four spaces, no newline at the end.
pub const CURSOR: &str = r#"{
    "mcpServers": {
        "jarvis": {
            "url": "https://jarvis.internal/mcp",
            "headers": { "Authorization": "Bearer ${env:JARVIS_TOKEN}" }
        },
        "local": { "command": "uvx", "args": ["mcp-server-git"] }
    }
}"#;

/// VS Code: comments, a trailing comma, inputs, tabs.
pub const VS_CODE: &str = "{
\t// Asked for once, and kept by VS Code.
\t\"inputs\": [
\t\t{ \"type\": \"promptString\", \"id\": \"token\", \"description\": \"A token\", \"password\": true },
\t],
\t\"servers\": {
\t\t/* the one that restarts */
\t\t\"jarvis\": {
\t\t\t\"type\": \"http\", // or sse?
\t\t\t\"url\": \"https://jarvis.internal/mcp\",
\t\t\t\"headers\": {
\t\t\t\t\"Authorization\": \"Bearer ${input:token}\",
\t\t\t},
\t\t},
\t\t\"fetch\": { \"type\": \"stdio\", \"command\": \"uvx\", \"args\": [\"mcp-server-fetch\"] },
\t},
}
";

/// Windsurf: CRLF.
pub const WINDSURF: &str = "{\r\n  \"mcpServers\": {\r\n    \"jarvis\": {\r\n      \"serverUrl\": \"https://jarvis.internal/sse\",\r\n      \"headers\": {\r\n        \"API_KEY\": \"s3cret-key\"\r\n      },\r\n      \"disabledTools\": [\"nuke\"]\r\n    }\r\n  }\r\n}\r\n";

/// On one line, beside what is none of our business.
pub const MINIFIED: &str = r#"{"mcpServers":{"jarvis":{"type":"streamable-http","url":"https://jarvis.internal/mcp","headers":{"X-Key":"s3cret-key"}},"other":{"type":"sse","url":"http://127.0.0.1:9/sse"}},"numStartups":7}"#;

/// Zed's settings.json: comments, trailing commas, the older form of a local server.
pub const ZED: &str = r#"// Zed settings
{
  "theme": "One Dark", // mine
  "context_servers": {
    "jarvis": {
      "url": "https://jarvis.internal/mcp",
      "headers": { "Authorization": "Bearer s3cret-token" },
    },
    "files": {
      "command": { "path": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem"] },
      "settings": {},
    },
  },
}
"#;

/// opencode.json.
pub const OPENCODE: &str = r#"{
  "$schema": "https://opencode.ai/config.json",
  "mcp": {
    "jarvis": {
      "type": "remote",
      "url": "https://jarvis.internal/mcp",
      "enabled": true,
      "oauth": false,
      "headers": {
        "Authorization": "Bearer {env:JARVIS_TOKEN}"
      }
    },
    "files": {
      "type": "local",
      "command": ["npx", "-y", "@modelcontextprotocol/server-filesystem"],
      "environment": {}
    },
    "hosted": {
      "type": "remote",
      "url": "https://{env:HOSTED}/mcp"
    }
  }
}
"#;

/// Codex's config.toml.
pub const CODEX: &str = r#"model = "gpt-5" # mine
approval_policy = "on-request"

# The one that restarts.
[mcp_servers.jarvis]
url = "https://jarvis.internal/mcp?key=s3cret-query" # for now
bearer_token_env_var = "JARVIS_TOKEN"
tool_timeout_sec = 60

[mcp_servers.jarvis.http_headers]
X-Api-Key = 's3cret-key'

[mcp_servers.files]
command = "npx"
args = ["-y", "@modelcontextprotocol/server-filesystem"]

[mcp_servers."hosted one"]
url = "https://hosted.internal/mcp"
http_headers = { "X-Tenant" = "s3cret-tenant" }
env_http_headers = { "X-User" = "HOSTED_USER" }
enabled = true

# Below the servers.
[tui]
theme = "dark"
"#;

/// Goose's config.yaml: comments, each kind of quotes, members without a value, extensions of its own.
pub const GOOSE: &str = r#"GOOSE_PROVIDER: anthropic # mine
extensions:
  developer:
    bundled: true
    enabled: true
    name: developer
    timeout: 300
    type: builtin

  # The one that restarts.
  jarvis:
    available_tools:
    - look
    - echo
    # Since March.
    bundled: null
    description: 'Knows "everything": é'
    enabled: true
    env_keys:
      - JARVIS_TOKEN
    envs:
      TENANT: s3cret-tenant
    headers:
      Authorization: Bearer ${JARVIS_TOKEN} # expanded by Goose
      X-Tenant: $TENANT
      X-Api-Key: 's3cret-''key'
      X-Plain: s3cret-plain value
    name: jarvis
    timeout: 300
    type: sse # or streamable_http
    uri: "https://jarvis.internal/sse?key=s3cret-query"   # for now

  files:
    cmd: npx
    args: ["-y", "@modelcontextprotocol/server-filesystem"]
    enabled: true
    envs: {}
    name: files
    type: stdio
  hosted: {enabled: true, name: hosted, type: streamable_http, uri: 'https://hosted.internal/mcp', headers: {X-Key: "s3cret-flow"}}
  bare:
    type: streamable_http
    uri: https://bare.internal/mcp
    envs:
    description:
# Below the extensions.
GOOSE_MODEL: x
"#;

/// Continue's config.yaml: a list, templates.
pub const CONTINUE: &str = r#"name: Mine
version: 0.0.1
schema: v1
mcpServers:
  # The one that restarts.
  - name: jarvis
    type: sse
    url: https://jarvis.internal/sse
    requestOptions:
      headers:
        Authorization: Bearer ${{ secrets.JARVIS }}
        X-Api-Key: "s3cret-key"
    connectionTimeout: 5000
  -   name: hosted one
      url: https://${{ inputs.HOST }}/mcp # a wide step
      # At the end.
  - name: files
    command: npx
    args:
      - -y
      - "@modelcontextprotocol/server-filesystem"
models: []
"#;
