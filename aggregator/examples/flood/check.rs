//! What has arrived, asked of the store itself.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use syncline_store::{DEFAULT_DATABASE, Store};

/// Nobody waits longer for rows.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until so many waits are to be seen, and says how long that took since `began`.
pub(crate) async fn stored(dir: &Path, events: u64, began: Instant) -> Result<String> {
    let store = Store::connect(&engine_url(dir)?, DEFAULT_DATABASE).await?;
    let until = Instant::now() + PATIENCE;
    loop {
        // It is the sum of what parts say of themselves.
        let rows = number(&store, "SELECT count() FROM events").await?;
        if rows >= events {
            return Ok(serde_json::json!({ "seconds": began.elapsed().as_secs_f64() }).to_string());
        }
        ensure!(Instant::now() < until, "{rows} of {events} rows are there after {} s", PATIENCE.as_secs());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Counts rows as stored, and what they take on disk: as they are now, and merged into one part.
pub(crate) async fn store(dir: &Path) -> Result<String> {
    let store = Store::connect(&engine_url(dir)?, DEFAULT_DATABASE).await?;
    let rows = number(&store, "SELECT count() FROM events").await?;
    let distinct = number(&store, "SELECT uniqExact(node, boot, seq) FROM events").await?;
    let aligned = number(&store, "SELECT countIf(clock_status = 'synchronized') FROM events").await?;
    let parts = number(&store, &of_parts("count()")).await?;
    let bytes_now = number(&store, &of_parts("sum(data_compressed_bytes)")).await?;
    store.client().query("OPTIMIZE TABLE events FINAL").execute().await?;
    let bytes_merged = number(&store, &of_parts("sum(data_compressed_bytes)")).await?;
    let uncompressed = number(&store, &of_parts("sum(data_uncompressed_bytes)")).await?;
    Ok(serde_json::json!({
        "rows": rows,
        "distinct": distinct,
        "aligned": aligned,
        "parts": parts,
        "bytes_now": bytes_now,
        "bytes_merged": bytes_merged,
        "bytes_uncompressed": uncompressed,
    })
    .to_string())
}

fn of_parts(what: &str) -> String {
    format!("SELECT {what} FROM system.parts WHERE active AND database = '{DEFAULT_DATABASE}' AND table = 'events'")
}

async fn number(store: &Store, sql: &str) -> Result<u64> {
    let answer = String::from_utf8(store.query_text(sql, "TSV").await?)?;
    answer.trim().parse().with_context(|| format!("{sql}: {answer:?} is no number"))
}

/// The engine's URL, as it leaves it beside its data for other programs on the machine.
fn engine_url(dir: &Path) -> Result<String> {
    let file = dir.join("endpoint.json");
    let text = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let endpoint: serde_json::Value = serde_json::from_slice(&text)?;
    let url = endpoint["url"].as_str().context("no url in endpoint.json")?;
    Ok(url.to_owned())
}
