//! What a batch says of all that its agent captured, of losses, and of batches that will not come.

use syncline_event::{Account, Batch, DroppedBatch, Loss, Origin};
use syncline_store::LedgerKey;
use syncline_store::rows::{DroppedBatchRows, LedgerRows, LossRows};
use syncline_timebase::BootId;

use super::{Whose, mono_ns, texts};
use crate::pipeline::bucket;

/// That a batch is stored. To be written behind all of its other rows.
pub(crate) fn ledger(batch: &Batch) -> LedgerRows {
    let Whose { region, node, boot } = Whose::of(batch, 1);
    let Account { captured, left_out, waiting, open } = batch.account.unwrap_or_default();
    let open = open.and_then(|open| i64::try_from(open).ok()).unwrap_or(-1);
    let first_bucket = batch.waits.start.iter().map(|start| bucket::of_event(batch, *start)).min();
    LedgerRows {
        bucket: vec![bucket::of_batch(batch)],
        region,
        node,
        boot,
        run_seq: vec![batch.origin.run_first_seq],
        batch: vec![batch.number],
        sealed_ns: vec![mono_ns(batch.sealed_at)],
        first_seq: vec![batch.first_seq],
        events: vec![batch.waits.len() as u64],
        first_bucket: vec![first_bucket.unwrap_or_else(|| bucket::of_batch(batch))],
        short_waits: vec![batch.summed_waits()],
        losses: vec![batch.losses.iter().map(|loss| loss.count).fold(0, u64::saturating_add)],
        has_account: vec![u8::from(batch.account.is_some())],
        captured: vec![captured],
        left_out: vec![left_out],
        waiting: vec![waiting],
        open: vec![open],
    }
}

/// Where that is written.
pub(crate) fn ledger_key(batch: &Batch) -> LedgerKey {
    LedgerKey {
        bucket: bucket::of_batch(batch),
        node: batch.origin.node.to_string(),
        boot: batch.origin.boot.0,
        batch: batch.number,
    }
}

/// What is lost: each under the run and the number of the batch that it belongs to.
pub(crate) fn losses(batch: &Batch) -> LossRows {
    let Origin { boot, run_first_seq, .. } = batch.origin;
    let own = batch.losses.iter().map(|loss| ((boot, run_first_seq, batch.number), *loss));
    let of_dropped = |dropped: &DroppedBatch| {
        let of = (dropped.boot, dropped.run_first_seq, dropped.number);
        dropped.all_losses().map(move |loss| (of, loss)).collect::<Vec<_>>()
    };
    let all = own.chain(batch.dropped.iter().flat_map(of_dropped));
    let all: Vec<((BootId, u64, u64), Loss)> = all.filter(|(_, loss)| loss.count > 0).collect();
    let Whose { region, node, .. } = Whose::of(batch, all.len());
    LossRows {
        bucket: vec![bucket::of_batch(batch); all.len()],
        region,
        node,
        boot: all.iter().map(|((boot, _, _), _)| boot.0).collect(),
        run_seq: all.iter().map(|((_, run, _), _)| *run).collect(),
        cause: texts(all.iter().map(|(_, loss)| loss.cause.name())),
        count: all.iter().map(|(_, loss)| loss.count).collect(),
        batch: all.iter().map(|((_, _, number), _)| *number).collect(),
    }
}

/// Batches that will not come.
pub(crate) fn dropped_batches(batch: &Batch) -> DroppedBatchRows {
    let (dropped, rows) = (&batch.dropped, batch.dropped.len());
    let Whose { region, node, .. } = Whose::of(batch, rows);
    DroppedBatchRows {
        bucket: vec![bucket::of_batch(batch); rows],
        region,
        node,
        boot: dropped.iter().map(|one| one.boot.0).collect(),
        run_seq: dropped.iter().map(|one| one.run_first_seq).collect(),
        batch: dropped.iter().map(|one| one.number).collect(),
        cause: texts(dropped.iter().map(|one| one.cause.name())),
        events: dropped.iter().map(|one| one.events).collect(),
        short_waits: dropped.iter().map(|one| one.summed).collect(),
    }
}

#[cfg(test)]
mod tests {
    use syncline_event::LossCause;

    use super::*;
    use crate::pipeline::samples;

    #[test]
    fn what_a_dropped_batch_had_is_lost_under_its_own_number() {
        let mut batch = samples::batch("n", 9);
        let told = Loss { cause: LossCause::ParkMapFull, count: 4 };
        let dropped = |number, events| DroppedBatch {
            boot: BootId(77),
            number,
            run_first_seq: 5,
            cause: LossCause::QueueFull,
            events,
            summed: 2,
            losses: vec![told],
        };
        batch.dropped = vec![dropped(6, 1)];
        let rows = losses(&batch);
        assert_eq!((rows.batch, rows.count), (vec![9, 6, 6], vec![9, 4, 3]));
        assert_eq!(rows.run_seq, [batch.origin.run_first_seq, 5, 5]);
        assert_eq!(rows.boot, [batch.origin.boot.0, 77, 77], "an agent tells of its earlier runs, of other boots, too");
        let rows = dropped_batches(&batch);
        assert_eq!((rows.boot, rows.batch, rows.events, rows.short_waits), (vec![77], vec![6], vec![1], vec![2]));
    }

    #[test]
    fn a_batch_of_an_agent_that_keeps_no_account_is_in_the_ledger_without_one() {
        let rows = ledger(&samples::batch("n", 9));
        assert_eq!((rows.has_account, rows.open, rows.losses), (vec![0], vec![-1], vec![9]));
        let mut batch = samples::batch("n", 10);
        batch.account = Some(Account { captured: 7, waiting: -2, open: Some(3), ..Account::default() });
        let rows = ledger(&batch);
        assert_eq!((rows.captured, rows.waiting, rows.open), (vec![7], vec![-2], vec![3]));
    }
}
