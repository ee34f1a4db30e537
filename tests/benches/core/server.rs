//! A server that is not what is measured: as much of HTTP/1.1 and MCP as the library needs, and nothing it does not.

use std::net::Ipv4Addr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::script;

/// The child: prints its port and serves until it is killed.
pub fn child() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
        println!("{}", listener.local_addr().expect("bound").port());
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(serve(stream));
        }
    });
}

async fn serve(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    let (mut line, mut body) = (String::new(), Vec::new());
    loop {
        let (mut first, mut length) = (String::new(), 0);
        loop {
            line.clear();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            match line.trim_end().split_once(':') {
                _ if first.is_empty() => first.push_str(&line),
                _ if line.trim_end().is_empty() => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().unwrap_or(0);
                }
                _ => {}
            }
        }
        body.resize(length, 0);
        if stream.read_exact(&mut body).await.is_err()
            || stream.write_all(answer(&first, &body).as_bytes()).await.is_err()
        {
            return;
        }
    }
}

fn answer(first: &str, body: &[u8]) -> String {
    const NONE: &str = "content-length: 0\r\n\r\n";
    if first.starts_with("GET") {
        return format!("HTTP/1.1 405 Method Not Allowed\r\n{NONE}");
    }
    if !first.starts_with("POST") || !body.starts_with(br#"{"jsonrpc":"2.0","id":"#) {
        return format!("HTTP/1.1 202 Accepted\r\n{NONE}");
    }
    let initialize = body.windows(12).any(|window| window == b"\"initialize\"");
    let result = if initialize {
        script::INITIALIZE_RESULT
    } else {
        r#","result":{"content":[{"type":"text","text":"done"}]}}"#
    };
    let text = format!(r#"{{"jsonrpc":"2.0","id":{}{result}"#, script::wire_id(body));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nmcp-session-id: one-for-all";
    format!("{head}\r\ncontent-length: {}\r\n\r\n{text}", text.len())
}
