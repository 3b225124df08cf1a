//! A statement to the demo's own ClickHouse, on loopback. The command line client only reads, as it should.

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends one statement, with its data if it has any, to `http://user:password@host:port`.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub(crate) async fn execute(url: &str, statement: &str) -> Result<()> {
    let (user, password, host) = parts(url).context("the store's URL is not http://user:password@host:port")?;
    let mut stream = TcpStream::connect(host).await.with_context(|| format!("cannot reach ClickHouse at {host}"))?;
    let length = statement.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nX-ClickHouse-User: {user}\r\nX-ClickHouse-Key: {password}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(statement.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if !answer.starts_with("HTTP/1.1 200") {
        bail!("ClickHouse at {host} refused: {}", answer.lines().last().unwrap_or("no answer"));
    }
    Ok(())
}

fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let (account, host) = url.strip_prefix("http://")?.trim_end_matches('/').split_once('@')?;
    let (user, password) = account.split_once(':')?;
    Some((user, password, host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn answering(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://me:secret@{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let mut length = 0;
            while !String::from_utf8_lossy(&request[..length]).ends_with("SELECT 1") {
                length += stream.read(&mut request[length..]).await.unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        (url, server)
    }

    #[tokio::test]
    async fn the_statement_is_the_body_and_the_status_decides() {
        let (url, server) = answering("HTTP/1.1 200 OK\r\n\r\n").await;
        execute(&url, "SELECT 1").await.unwrap();
        let request = server.await.unwrap();
        assert!(request.contains("Content-Length: 8\r\n") && request.contains("X-ClickHouse-Key: secret\r\n"));
        let (url, _server) = answering("HTTP/1.1 404 Not Found\r\n\r\nCode: 60. no such table").await;
        let error = execute(&url, "SELECT 1").await.unwrap_err().to_string();
        assert!(error.contains("no such table"), "{error}");
    }
}
