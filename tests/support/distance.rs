//! A server on this machine as if it were far away: a TCP proxy that lets each connection wait for a
//! round trip before its first byte, as the handshake would, and hands on every byte half a round
//! trip after it came. It holds nothing back otherwise: many bytes may be on their way.

#![allow(dead_code, reason = "no test uses all of it")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Bytes read at once.
const PIECE: usize = 64 << 10;
/// Pieces on their way in one direction.
const PIECES: usize = 2000;

/// Ends, with its connections, when it is dropped.
pub struct Distance {
    pub address: SocketAddr,
    _runtime: Runtime,
}

impl Distance {
    /// `server` from a distance.
    pub fn to(server: SocketAddr, round_trip: Duration) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            loop {
                let Ok((near, _)) = listener.accept().await else { continue };
                tokio::spawn(connect(near, server, round_trip));
            }
        });
        Self { address, _runtime: runtime }
    }
}

async fn connect(near: TcpStream, server: SocketAddr, round_trip: Duration) -> io::Result<()> {
    let far = TcpStream::connect(server).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    tokio::time::sleep(round_trip).await;
    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
    tokio::spawn(carry(from_near, to_far, round_trip / 2));
    carry(from_far, to_near, round_trip / 2).await;
    Ok(())
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
    let read = async move {
        let mut buffer = vec![0; PIECE];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let piece = (Instant::now() + delay, buffer[..length].to_vec());
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((arrival, piece)) = pieces.recv().await {
            tokio::time::sleep_until(arrival).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
