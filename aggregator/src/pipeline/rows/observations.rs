//! Rows of how processes were observed.

use syncline_clock::NodeClock;
use syncline_event::{Batch, ObservationReason, ObservationStage};
use syncline_store::rows::{self, ObservationRows};
use syncline_timeline::place;

use super::{Whose, bucket, mono_ns, offsets, texts};

/// The intervals, placed by `clock` on `run` of the reference.
pub(crate) fn observations(batch: &Batch, clock: &NodeClock, run: u64) -> ObservationRows {
    let (all, rows) = (&batch.observations, batch.observations.len());
    let Whose { region, node, boot } = Whose::of(batch, rows);
    let process = |index: u32| batch.processes.get(index as usize);
    let start = place(all.iter().map(|one| one.from), clock).moments;
    ObservationRows {
        bucket: all.iter().map(|one| bucket::of_event(batch, one.from)).collect(),
        region,
        service: texts(all.iter().map(|one| process(one.process).map_or("", |process| &process.service))),
        node,
        boot,
        pid: all.iter().map(|one| process(one.process).map_or(0, |process| process.pid)).collect(),
        mono_ns: all.iter().map(|one| mono_ns(one.from)).collect(),
        dur_ns: all.iter().map(|one| one.duration_ns).collect(),
        observed_ns: all.iter().map(|one| one.observed_ns).collect(),
        windows: all.iter().map(|one| one.windows).collect(),
        stage: all.iter().map(|one| stage(one.stage)).collect(),
        reason: all.iter().map(|one| reason(one.reason)).collect(),
        threshold_ns: all.iter().map(|one| one.threshold_ns).collect(),
        without: texts(all.iter().map(|one| one.without.as_str())),
        budget_ppm: all.iter().map(|one| one.budget_ppm).collect(),
        cost_ns: all.iter().map(|one| one.cost_ns).collect(),
        cpu_ns: all.iter().map(|one| one.cpu_ns).collect(),
        ref_run: vec![run; rows],
        al_off: offsets(batch, &start),
    }
}

fn stage(stage: ObservationStage) -> rows::ObservationStage {
    match stage {
        ObservationStage::Full => rows::ObservationStage::Full,
        ObservationStage::Raised => rows::ObservationStage::Raised,
        ObservationStage::Lean => rows::ObservationStage::Lean,
        ObservationStage::Windows => rows::ObservationStage::Windows,
        ObservationStage::Off => rows::ObservationStage::Off,
    }
}

fn reason(reason: ObservationReason) -> rows::ObservationReason {
    match reason {
        ObservationReason::Began => rows::ObservationReason::Began,
        ObservationReason::OverBudget => rows::ObservationReason::OverBudget,
        ObservationReason::Affordable => rows::ObservationReason::Affordable,
        ObservationReason::Rested => rows::ObservationReason::Rested,
    }
}
