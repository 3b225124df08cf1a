//! SIGHUP: what of the file would be another with the next start.

use std::ffi::OsString;
use std::path::PathBuf;

use syncline_aggregator::cli;
use syncline_config::Document;
use tokio::signal::unix::{SignalKind, signal};

/// Says at each SIGHUP what of the file has changed since the start, which read `begun`, and whether one with these arguments would take it. Without
/// a file the signal ends the program, as it does any.
pub(crate) fn listen(file: Option<(PathBuf, Document)>, arguments: Vec<OsString>) -> std::io::Result<()> {
    let Some((path, begun)) = file else { return Ok(()) };
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            match cli::read_again(&path, &arguments) {
                Ok(now) => {
                    let changed: Vec<String> = begun.changed(&now).into_iter().collect();
                    match changed.join(", ") {
                        none if none.is_empty() => tracing::info!("the file says what it said at the start"),
                        keys => tracing::warn!("of the file, what changed of {keys} holds from the next start on"),
                    }
                }
                Err(problem) => tracing::error!("{problem}. A start would fail; what was read at the last one holds"),
            }
        }
    });
    Ok(())
}
