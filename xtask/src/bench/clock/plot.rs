//! The plot of docs/accuracy.md.

use std::fs;

use anyhow::{Context, Result};

use super::scene::{self, AFTER_S, BEFORE_S, Played, SHOWN};
use super::svg::{Chart, Panel};
use crate::place;

/// Ours first.
const COLOURS: [&str; 3] = ["#1a6fb5", "#d1495b", "#8d99ae"];

/// Draws docs/img/clock-error.svg.
///
/// # Errors
/// When a scene cannot be played, or the file not be written.
pub(super) fn write() -> Result<()> {
    let dir = place::workspace().join("docs").join("img");
    let path = dir.join("clock-error.svg");
    let text = chart(scene::play()?).text();
    fs::create_dir_all(&dir)
        .and_then(|()| fs::write(&path, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn chart(scenes: Vec<Played>) -> Chart {
    let names = std::iter::once("Syncline".to_owned());
    let names = names.chain(SHOWN.map(|rival| format!("{}, told of steps", rival.title())));
    let panels = scenes.into_iter().map(|played| Panel { title: played.title, curves: played.curves });
    Chart {
        x_label: "seconds since it happened",
        y_label: "largest error in each second",
        x: -BEFORE_S..AFTER_S,
        decades: -1..6,
        legend: names.zip(COLOURS).collect(),
        panels: panels.collect(),
    }
}
