//! Over real connections: keep-alive, a body too large, and the drain at shutdown.

use std::error::Error;
use std::time::Duration;

use proximadb_ports::conformance::RecordingDatabase;
use proximadb_rest::{RestSettings, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

type Outcome = Result<(), Box<dyn Error>>;

/// Reads one answer: its head, and as many bytes of body as the head says.
async fn answer(stream: &mut TcpStream) -> Result<(String, Vec<u8>), Box<dyn Error>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).ok_or("no length")?.parse()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((head, body))
}

#[tokio::test]
async fn serves_keep_alive_connections_until_shutdown() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let settings = RestSettings { body_bytes_max: 1 << 20, drain: Duration::from_secs(60), ..RestSettings::default() };
    let shutdown = async move {
        let _ = stopped.await;
    };
    let server = tokio::spawn(serve(listener, RecordingDatabase::new(), settings, shutdown));

    let mut stream = TcpStream::connect(address).await?;
    for _ in 0..2 {
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await?;
        let (head, body) = answer(&mut stream).await?;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(body, br#"{"live":true}"#);
    }

    // The client of a body somewhat too large sends all of it and still gets its answer.
    let length = (1 << 20) + (1 << 19);
    let mut large = TcpStream::connect(address).await?;
    let head = format!("POST /v1/collections HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    large.write_all(head.as_bytes()).await?;
    large.write_all(&vec![b' '; length]).await?;
    let (head, body) = answer(&mut large).await?;
    assert!(head.starts_with("HTTP/1.1 413"), "{head}");
    assert!(String::from_utf8(body)?.contains("body_too_large"));

    stop.send(()).map_err(|()| "the server is gone")?;
    server.await??;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    Ok(())
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_up_shutdown_for_ever() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut stream = TcpStream::connect(listener.local_addr()?).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let settings = RestSettings { drain: Duration::from_millis(1), ..RestSettings::default() };
    let shutdown = async move {
        let _ = stopped.await;
    };
    let server = tokio::spawn(serve(listener, RecordingDatabase::new(), settings, shutdown));
    // The server reads the body only once the handler runs, and says so.
    stream.write_all(b"POST /v1/collections HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n").await?;
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await?;
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stop.send(()).map_err(|()| "the server is gone")?;
    server.await??;
    Ok(())
}
