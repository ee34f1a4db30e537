//! A way to a server that can turn into a black hole and back: connections stay open, and nothing moves on them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use super::port::Port;

/// Relays connections to a port, or swallows all there is.
pub struct Hole {
    port: Port,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let closed = self.closed.lock().unwrap();
        drop(self.changed.wait_while(closed, |closed| *closed).unwrap());
    }
}

impl Hole {
    /// Starts relaying to `target`; the threads end with the test program.
    pub fn before(target: u16) -> Self {
        let port = Port::reserve();
        let listener = port.listen();
        let gate = Arc::<Gate>::default();
        let own = gate.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let gate = own.clone();
                // A connection that is made while all is swallowed is accepted, and meets silence.
                std::thread::spawn(move || {
                    gate.pass();
                    let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { return };
                    let (answers, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                    let back = gate.clone();
                    std::thread::spawn(move || relay(client, server, &gate));
                    relay(answers, to_client, &back);
                });
            }
        });
        Self { port, gate }
    }

    /// The URL that leads through it.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port.number())
    }

    /// From now on nothing gets through, in either direction, and nobody is told.
    pub fn swallow(&self) {
        *self.gate.closed.lock().unwrap() = true;
    }

    /// What was held back goes on its way.
    pub fn heal(&self) {
        *self.gate.closed.lock().unwrap() = false;
        self.gate.changed.notify_all();
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, gate: &Gate) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        gate.pass();
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    gate.pass();
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
