//! A relay between the bridge and a real server that breaks connections with a TCP reset.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;

use super::support::port::Port;
use super::support::{PATIENCE, poll};

/// Relays connections to a port, until they are cut.
pub struct Cutter {
    port: Port,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Both ends of every connection so far.
    connections: Mutex<Vec<[TcpStream; 2]>>,
    /// What the server said so far.
    said: Mutex<Vec<u8>>,
}

impl Cutter {
    /// Starts relaying to `target`; the thread ends with the test program.
    pub fn before(target: u16) -> Self {
        let port = Port::reserve();
        let listener = port.listen();
        let shared = Arc::<Shared>::default();
        let relayed = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let ends = [client.try_clone().unwrap(), server.try_clone().unwrap()];
                relayed.connections.lock().unwrap().push(ends);
                let (asks, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let log = relayed.clone();
                std::thread::spawn(move || relay(asks, to_server, |_| {}));
                std::thread::spawn(move || {
                    relay(server, client, |bytes| log.said.lock().unwrap().extend_from_slice(bytes));
                });
            }
        });
        Self { port, shared }
    }

    /// The URL that leads through the relay.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port.number())
    }

    /// How many event streams the server has begun.
    pub fn streams(&self) -> usize {
        let said = self.shared.said.lock().unwrap();
        String::from_utf8_lossy(&said).to_ascii_lowercase().matches("content-type: text/event-stream").count()
    }

    /// Waits until the server has begun so many event streams.
    pub fn wait_for_streams(&self, count: usize) {
        poll(&format!("the server begins {count} event streams"), PATIENCE, || (self.streams() >= count).then_some(()));
    }

    /// Breaks every connection with a reset, for both sides; new ones are relayed.
    pub fn cut(&self) {
        for end in self.shared.connections.lock().unwrap().drain(..).flatten() {
            // Closing a socket that lingers for no time sends a reset; the relay's threads hold copies, and shutting down
            // their side for reading makes them let go.
            let _ = SockRef::from(&end).set_linger(Some(Duration::ZERO));
            let _ = end.shutdown(Shutdown::Read);
        }
    }
}

/// Ends quietly by dropping its sockets: shutting them down would send an orderly end before the reset.
fn relay(mut from: TcpStream, mut to: TcpStream, mut seen: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 * 1024];
    let lingers = |socket: &TcpStream| SockRef::from(socket).linger().ok().flatten().is_some();
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        seen(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    if !lingers(&from) && !lingers(&to) {
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
