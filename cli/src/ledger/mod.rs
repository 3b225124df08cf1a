//! What agents captured and where that went: `syncline loss` shows it, `syncline audit` proves it.

mod accounts;
mod audit;
mod loss;

use clap::Args;

pub(crate) use audit::{AuditArgs, run as audit};
pub(crate) use loss::{LossArgs, run as loss};

use crate::args::Format;
use crate::window::Window;

/// The length of a window of which only one end is given, or none.
const USUAL_NS: i64 = 3_600_000_000_000;

/// Which batches are meant.
#[derive(Args, Debug)]
pub(crate) struct Range {
    /// Begin of the window, of which whole minutes count; default: an hour before its end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// End of the window; default: now
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Only this node
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Only this region
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// text for people, json for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

impl Range {
    fn window(&self, now_ns: i64) -> anyhow::Result<Window> {
        Window::until_now(self.from.as_deref(), self.to.as_deref(), USUAL_NS, now_ns)
    }

    /// The condition on rows that have a region and a node, and the parameters of it and of the window.
    fn condition(&self, window: Window) -> (String, Vec<(String, String)>) {
        let mut params = window.params();
        let mut condition = "1".to_owned();
        for (name, value) in [("node", &self.node), ("region", &self.region)] {
            if let Some(value) = value {
                condition.push_str(&format!(" AND {name} = {{{name}:String}}"));
                params.push((name.to_owned(), value.clone()));
            }
        }
        (condition, params)
    }
}
