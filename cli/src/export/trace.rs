//! `--format perfetto`: every wait, as a slice of its goroutine.

use syncline_export::{Note, Trace, Wake};

use super::edges::{Edge, Edges};
use super::pieces::pieces;
use super::rows::{Order, Rows, Waited};
use super::sink::Sink;
use super::stacks::Stacks;
use super::{Export, Tally};

/// Rows of a piece, which the store sorts. Some 100 MB there.
const PIECE: u64 = 250_000;

pub(super) async fn write(export: &Export<'_>, sink: &mut Sink) -> anyhow::Result<Tally> {
    let (mut stacks, mut tally) = (Stacks::default(), Tally::default());
    let from_ns = export.window.from_ns;
    let mut trace = Trace::begin(from_ns, &mut sink.buffer);
    trace.say(from_ns, "syncline export", export.about(), &mut sink.buffer);
    let waits = export.args.waits(export.window);
    let has_edges = Edges::are_there(export.source).await?;
    for piece in pieces(export.source, export.window, export.args, PIECE).await? {
        let edges = if has_edges { Edges::ask(export.source, piece, export.args).await? } else { Edges::default() };
        let mut rows = Rows::ask(export.source, piece, &waits, "1", Order::Time)?;
        loop {
            let some = rows.next(export.source, &mut stacks).await?;
            let Some(last) = some.last() else { break };
            for row in &some {
                if !export.args.runtime && row.is_own(&stacks) {
                    tally.own += 1;
                    continue;
                }
                tally.flows += u64::from(add(row, &stacks, &edges, &mut trace, sink, &mut tally));
            }
            sink.pass_on()?;
            sink.tell(tally.waits, last.start_ns(), export.window);
        }
    }
    trace.finish(&mut sink.buffer);
    Ok(tally)
}

/// Adds one wait; whether what ended it is shown.
fn add(row: &Waited, stacks: &Stacks, edges: &Edges, trace: &mut Trace, sink: &mut Sink, tally: &mut Tally) -> bool {
    let mut wait = row.wait(stacks);
    let error = row.error();
    wait.notes = row.notes(stacks);
    wait.notes.extend(error.as_deref().map(|error| ("error", Note::Name(error))));
    let edge = if edges.is_empty() || !row.is_for_network() { None } else { edges.get(&row.key()) };
    let sender = edge.map(Edge::place);
    if let Some((waker, stack_id)) = row.waker() {
        wait.wake = Some(Wake { waker, sent: None, stack: stacks.get(stack_id) });
    } else if let Some(edge) = edge {
        wait.notes.extend(sender.as_deref().map(|sender| ("ended_by", Note::Name(sender))));
        wait.wake = edge.sent.map(|sent| Wake { waker: edge.who(), sent: Some(sent), stack: None });
    }
    tally.count(&wait);
    trace.add(&wait, &mut sink.buffer);
    wait.wake.is_some()
}
