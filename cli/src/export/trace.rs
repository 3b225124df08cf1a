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
    let first_ns = export.first_ns();
    let mut trace = Trace::begin(first_ns, &mut sink.buffer);
    say(export, &mut trace, first_ns, sink);
    let waits = export.args.waits(export.window);
    for piece in pieces(export.source, export.window, export.args, PIECE).await? {
        let edges = Edges::ask(export.source, piece, export.args).await?;
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

/// What a reader of the file should know.
fn say(export: &Export<'_>, trace: &mut Trace, first_ns: i64, sink: &mut Sink) {
    let about = export.about();
    let lines: Vec<_> = about.iter().map(|(name, text)| (*name, Note::Text(text))).collect();
    trace.say(first_ns, "syncline export", &lines, &mut sink.buffer);
}

/// Adds one wait; whether what ended it is shown.
fn add(row: &Waited, stacks: &Stacks, edges: &Edges, trace: &mut Trace, sink: &mut Sink, tally: &mut Tally) -> bool {
    let mut wait = row.wait(stacks);
    let site = wait.stack.as_ref().map(|stack| stack.blocking_frame().text());
    wait.notes = row.notes(site.as_deref());
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
