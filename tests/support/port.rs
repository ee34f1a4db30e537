//! A port that stays reserved while its server is down.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// A free port of the loopback interface, held by a socket that is bound and never listens: connecting to it is refused,
/// the system gives it to nobody else, and a server that sets `SO_REUSEADDR` (they all do) can still bind it.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _hold: Socket,
}

impl Port {
    /// Asks the system for a free one.
    pub fn reserve() -> Self {
        let hold = bound(0);
        let number = hold.local_addr().expect("bound").as_socket().expect("an internet address").port();
        Self { number, _hold: hold }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// A listener on it.
    pub fn listen(&self) -> TcpListener {
        let socket = bound(self.number);
        socket.listen(128).expect("the port is ours");
        socket.into()
    }
}

/// Stops listening. To drop the listener is not enough: a child of another test that was forked and has not come to its exec
/// yet has a copy, which would go on taking connections and keep the port from the next listener.
pub fn close(listener: TcpListener) {
    let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
}

fn bound(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a TCP socket");
    socket.set_reuse_address(true).expect("SO_REUSEADDR");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).expect("the loopback interface has free ports");
    socket
}
