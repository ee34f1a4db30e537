//! The ways in which the server can be spoken to.

/// A way to speak to the benchmark's server; each has its own path there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Streamable HTTP, whose answers are `application/json`.
    Json,
    /// Streamable HTTP, whose answers are server-sent events.
    Events,
    /// HTTP+SSE of 2024-11-05.
    Sse,
}

impl Transport {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 3] = [Self::Json, Self::Events, Self::Sse];

    /// The heading of its column.
    pub fn label(self) -> &'static str {
        match self {
            Self::Json => "HTTP, JSON answers",
            Self::Events => "HTTP, SSE answers",
            Self::Sse => "HTTP+SSE",
        }
    }

    /// The path of its endpoint.
    pub fn path(self) -> &'static str {
        match self {
            Self::Json => "/mcp",
            Self::Events => "/events/mcp",
            Self::Sse => "/sse",
        }
    }

    /// Its URL at a server of this port.
    pub fn url(self, port: u16) -> String {
        format!("http://127.0.0.1:{port}{}", self.path())
    }

    /// Whether it is Streamable HTTP.
    pub fn is_streamable(self) -> bool {
        self != Self::Sse
    }
}
