//! A relay between the bridge and a real server that writes down what the bridge says.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::{PATIENCE, poll};

/// Relays connections to a port.
pub struct Tap {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    /// Starts relaying to `target`; the thread ends with the test program.
    pub fn before(target: u16) -> Self {
        Self::on("127.0.0.1:0", target)
    }

    /// The same, on an interface of its own choice.
    pub fn on(address: &str, target: u16) -> Self {
        let listener = TcpListener::bind(address).expect("the loopback interface has this address");
        let address = listener.local_addr().expect("bound");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = heard.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let (answers, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let log = log.clone();
                std::thread::spawn(move || relay(client, server, |bytes| log.lock().unwrap().extend_from_slice(bytes)));
                std::thread::spawn(move || relay(answers, to_client, |_| {}));
            }
        });
        Self { address, heard }
    }

    /// The URL that leads through the tap.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// What the bridge said so far, bodies and heads.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }

    /// Waits until the bridge has said `words`.
    pub fn wait_for(&self, words: &str) {
        poll(&format!("the bridge says {words:?}; it said:\n{}", self.heard()), PATIENCE, || {
            self.heard().contains(words).then_some(())
        });
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, mut seen: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        seen(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
