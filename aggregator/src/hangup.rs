//! SIGHUP: what of the file would be another with the next start.

use std::path::PathBuf;

use syncline_aggregator::cli;
use syncline_config::Document;
use tokio::signal::unix::{SignalKind, signal};

/// Says at each SIGHUP what of the file has changed since the start. Without a file the signal ends the program, as it does any.
pub(crate) fn listen(path: Option<PathBuf>) -> std::io::Result<()> {
    let Some(path) = path else { return Ok(()) };
    // It was read a moment ago.
    let begun = Document::open(&path, cli::SECRETS).ok();
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            let now = cli::validate(&path).and_then(|()| Document::open(&path, cli::SECRETS));
            match now {
                Ok(now) => {
                    let changed = begun.as_ref().map(|begun| begun.changed(&now)).unwrap_or_default();
                    let changed: Vec<String> = changed.into_iter().collect();
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
