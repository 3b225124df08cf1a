//! The same waits as OpenTelemetry logs: a record each, sent by the OTLP way over gRPC to a collector on this machine.
//!
//! Messages are encoded before the clock starts, as batches are. What a batch has beside its waits (knots, probes, sums of short waits) has no
//! place in them, and a wait has the node's own wall time: nobody aligns it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use bytes::{BufMut, Bytes};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use syncline_event::Batch;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::send::{Sent, WINDOW};
use crate::traffic::Encoded;

const EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// The waits of a batch: a resource for each process.
pub(crate) fn encoded(batch: &Batch) -> Encoded {
    let resource_logs = (0_u32..).zip(&batch.processes).map(|(process, of)| {
        let attributes = vec![
            text("service.name", of.service.clone()),
            text("host.name", batch.origin.node.to_string()),
            number("process.pid", of.pid.into()),
            text("cloud.region", batch.origin.region.clone()),
        ];
        let of_process = (0..batch.waits.len()).filter(|row| batch.waits.process[*row] == process);
        let log_records = of_process.map(|row| record(batch, row)).collect();
        ResourceLogs {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_logs: vec![ScopeLogs { log_records, ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        }
    });
    let message = ExportLogsServiceRequest { resource_logs: resource_logs.collect() };
    Encoded { number: batch.number, waits: batch.waits.len() as u64, bytes: message.encode_to_vec() }
}

/// What of a wait a person asks for, with the names that OpenTelemetry has where it has one.
fn record(batch: &Batch, row: usize) -> LogRecord {
    let waits = &batch.waits;
    let wall_ns = waits.start[row].ns().saturating_add(waits.wall_offset[row].ns());
    let attributes = vec![
        number("seq", batch.first_seq.saturating_add(row as u64)),
        number("thread.id", waits.tid[row].into()),
        number("goroutine.id", waits.goid[row]),
        text("kind", "goroutine".to_owned()),
        number("mono_ns", waits.start[row].ns().unsigned_abs()),
        number("dur_ns", waits.duration_ns[row]),
        number("run_delay_ns", waits.run_delay_ns[row]),
        text("stack.id", format!("{:016x}", waits.stack[row].0)),
        number("waker.goroutine.id", waits.waker_goid[row]),
    ];
    let reason = batch.reasons.get(waits.reason[row] as usize).cloned().unwrap_or_default();
    LogRecord {
        time_unix_nano: u64::try_from(wall_ns).unwrap_or_default(),
        body: Some(AnyValue { value: Some(Value::StringValue(reason)) }),
        attributes,
        ..LogRecord::default()
    }
}

fn text(key: &str, value: String) -> KeyValue {
    attribute(key, Value::StringValue(value))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(value.cast_signed()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Sends everything, each node over a connection of its own with as many requests at once as an agent has batches on the way.
pub(crate) async fn all(collector: SocketAddr, traffic: Vec<Vec<Encoded>>) -> Result<Sent> {
    let mut channels = Vec::new();
    for node in traffic {
        let channel = Channel::from_shared(format!("http://{collector}"))?.connect().await?;
        channels.push((channel, Arc::new(Mutex::new(node.into_iter()))));
    }
    let (began, mut senders) = (Instant::now(), JoinSet::new());
    for (channel, unsent) in &channels {
        for _ in 0..WINDOW {
            senders.spawn(send(channel.clone(), Arc::clone(unsent)));
        }
    }
    Sent::of_all(began, senders).await
}

async fn send(channel: Channel, unsent: Arc<Mutex<std::vec::IntoIter<Encoded>>>) -> Result<Sent> {
    let (mut client, mut sent) = (Grpc::new(channel), Sent::nothing(Instant::now()));
    loop {
        let next = unsent.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(Encoded { waits, bytes, .. }) = next else { return Ok(sent) };
        let (begun, wire_bytes) = (Instant::now(), bytes.len() as u64);
        client.ready().await?;
        let path = PathAndQuery::from_static(EXPORT);
        client.unary(Request::new(Bytes::from(bytes)), path, AsEncoded).await?;
        sent.acknowledged(begun.elapsed(), waits, wire_bytes);
    }
}

/// Messages that are encoded already.
#[derive(Clone, Copy, Default)]
struct AsEncoded;

impl Codec for AsEncoded {
    type Encode = Bytes;
    type Decode = ExportLogsServiceResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsEncoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for AsEncoded {
    type Item = ExportLogsServiceResponse;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let reply = Self::Item::decode(buffer).map_err(|error| Status::internal(error.to_string()))?;
        match &reply.partial_success {
            Some(partial) if partial.rejected_log_records > 0 => Err(Status::internal(partial.error_message.clone())),
            _ => Ok(Some(reply)),
        }
    }
}
