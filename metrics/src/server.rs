//! The door: `GET /metrics`.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::exposition::{Source, text};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Listens on `address`.
///
/// # Errors
/// It cannot; the text says how to mend that.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    let unheard = |error| format!("cannot listen on {address} for metrics ({error}): choose another with --metrics");
    TcpListener::bind(address).await.map_err(unheard)
}

/// Answers on `listener` until `stopping` ends.
pub fn serve(listener: TcpListener, source: Arc<dyn Source>, stopping: impl Future<Output = ()> + Send + 'static) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "metrics");
    }
    // One answer at a time: whoever asks too often waits, and takes nobody's locks.
    let turn = Arc::new(Semaphore::new(1));
    let router = Router::new().route("/metrics", get(move || answer(Arc::clone(&source), Arc::clone(&turn))));
    tokio::spawn(async move {
        tokio::select! {
            ended = axum::serve(listener, router) => {
                if let Err(error) = ended { tracing::error!(%error, "metrics are not served any more") }
            }
            () = stopping => (),
        }
    });
}

async fn answer(source: Arc<dyn Source>, turn: Arc<Semaphore>) -> Response {
    let _turn = turn.acquire().await;
    match tokio::task::spawn_blocking(move || text(source)).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
