//! Over real connections: keep-alive, a body too large, clients that stop to send, and the end at shutdown.

use std::error::Error;
use std::io;
use std::time::Duration;

use proximadb_ports::conformance::RecordingDatabase;
use proximadb_rest::{RestServer, RestSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

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

/// Serves so many connections, until the other end of the channel says stop or is dropped.
async fn serve(listener: TcpListener, settings: RestSettings, connections: usize, stop: watch::Receiver<bool>) -> io::Result<()> {
    let server = RestServer::new(RecordingDatabase::new(), settings);
    let mut open = JoinSet::new();
    for _ in 0..connections {
        let (stream, _) = listener.accept().await?;
        let (server, mut stop) = (server.clone(), stop.clone());
        open.spawn(server.connection(stream.into_std()?, async move { drop(stop.wait_for(|stop| *stop).await) }));
    }
    while let Some(ended) = open.join_next().await {
        ended??;
    }
    Ok(())
}

#[tokio::test]
async fn serves_keep_alive_connections_until_shutdown() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let settings = RestSettings { body_bytes_max: 1 << 20, ..RestSettings::default() };
    let server = tokio::spawn(serve(listener, settings, 2, stopped));

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

    stop.send(true)?;
    server.await??;
    assert_eq!(stream.read(&mut [0]).await?, 0, "idle connections are closed");
    Ok(())
}

#[tokio::test]
async fn who_sends_no_head_in_time_is_not_waited_for() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut stream = TcpStream::connect(listener.local_addr()?).await?;
    let settings = RestSettings { header_timeout: Duration::from_millis(20), ..RestSettings::default() };
    let (_stop, stopped) = watch::channel(false);
    let server = tokio::spawn(serve(listener, settings, 1, stopped));
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost:").await?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await?;
    assert!(!String::from_utf8(rest)?.contains(" 200 "));
    server.await??;
    Ok(())
}

#[tokio::test]
async fn who_stops_in_the_middle_of_a_body_is_not_waited_for() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut stream = TcpStream::connect(listener.local_addr()?).await?;
    let settings = RestSettings { body_timeout: Duration::from_millis(20), ..RestSettings::default() };
    let (_stop, stopped) = watch::channel(false);
    let server = tokio::spawn(serve(listener, settings, 1, stopped));
    stream.write_all(b"POST /v1/collections HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{").await?;
    let (head, body) = answer(&mut stream).await?;
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert!(String::from_utf8(body)?.contains("request_timeout"));
    assert_eq!(stream.read(&mut [0]).await?, 0, "what is left of the body is not read as a request");
    server.await??;
    Ok(())
}
