//! Stored waits against where they truly were.

use syncline_store::Store;

use super::agent::Truth;
use super::program::ask;

/// Stored waits that are where they say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked {
    pub(crate) rows: usize,
    /// The widest bound of a start or an end, ns.
    pub(crate) widest_ns: i128,
}

/// Every wait of `from` (a table, with a WHERE if wanted) has its true start and end inside its bounds.
pub(crate) async fn check(store: &Store, from: &str, truth: &Truth) -> Checked {
    let sql = format!(
        "SELECT seq, toInt64(mono_ns) + al_off, toInt64(mono_ns + dur_ns) + al_end_off, err_ns, err_end_ns FROM {from}"
    );
    let answer = ask(store, &sql).await;
    let mut checked = Checked { rows: 0, widest_ns: 0 };
    for row in answer.lines() {
        let [seq, start, end, err, err_end] =
            row.split('\t').map(|v| v.parse::<i128>().unwrap()).collect::<Vec<_>>()[..]
        else {
            panic!("{row}")
        };
        let (true_start, true_end) = truth[&u64::try_from(seq).unwrap()];
        assert!(
            (start - i128::from(true_start)).abs() <= err,
            "seq {seq} of {from}: {start} for {true_start} +/- {err}"
        );
        assert!(
            (end - i128::from(true_end)).abs() <= err_end,
            "seq {seq} of {from}: {end} for {true_end} +/- {err_end}"
        );
        checked.rows += 1;
        checked.widest_ns = checked.widest_ns.max(err.max(err_end));
    }
    checked
}
