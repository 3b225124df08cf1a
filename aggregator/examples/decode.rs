//! Takes batches in as the aggregator does, decodes and checks them, answers, and forgets them: what is left of its way without clocks, rows and
//! ClickHouse. `cargo xtask bench pipeline` starts this and `flood`; alone it is of no use. It ends when its standard input does.
#![allow(clippy::print_stdout)] // an example speaks to whoever started it

use std::io::Read as _;
use std::pin::Pin;

use anyhow::{Context, Result};
use futures_util::{Stream, StreamExt as _};
use syncline_event::limits;
use syncline_proto::v1::collector_server::{Collector, CollectorServer};
use syncline_proto::v1::ingest_reply::Outcome;
use syncline_proto::v1::{IngestReply, IngestRequest, KnownReply, KnownRequest, Stored};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// As the aggregator's own server has it.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const ENVELOPE_BYTES: usize = 64 << 10;

#[tokio::main]
async fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("no port")?;
    println!("ready listen={}", listener.local_addr()?);
    let service = CollectorServer::new(Decoder).max_decoding_message_size(limits::WIRE_BYTES + ENVELOPE_BYTES);
    let end = tokio::task::spawn_blocking(|| std::io::stdin().lock().read_to_end(&mut Vec::new()));
    let serving = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::select! {
        served = serving => served.context("serving failed"),
        _ = end => Ok(()),
    }
}

struct Decoder;

#[tonic::async_trait]
impl Collector for Decoder {
    type IngestStream = Pin<Box<dyn Stream<Item = Result<IngestReply, Status>> + Send>>;

    async fn ingest(&self, request: Request<Streaming<IngestRequest>>) -> Result<Response<Self::IngestStream>, Status> {
        let replies = request.into_inner().then(async |request| decoded(request?).await);
        Ok(Response::new(Box::pin(replies)))
    }

    async fn known(&self, _: Request<KnownRequest>) -> Result<Response<KnownReply>, Status> {
        Ok(Response::new(KnownReply::default()))
    }
}

async fn decoded(request: IngestRequest) -> Result<IngestReply, Status> {
    let decoding = tokio::task::spawn_blocking(move || syncline_proto::decode(&request.batch_zstd));
    let batch = decoding.await.map_err(|error| Status::internal(error.to_string()))?;
    let batch = batch.map_err(|error| Status::invalid_argument(error.to_string()))?;
    if batch.number != request.number {
        return Err(Status::invalid_argument(format!("batch {} as {}", batch.number, request.number)));
    }
    Ok(IngestReply { number: batch.number, outcome: Some(Outcome::Stored(Stored {})) })
}
