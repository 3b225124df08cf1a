//! Parts of the documentation that are made of the programs: each between `<!-- NAME: begin -->` and `<!-- NAME: end -->`.

use std::path::Path;

/// Fails unless the part `name` of docs/`file` is `made`. With `SYNCLINE_WRITE_DOCS=1` it is written instead.
pub(crate) fn assert_documented(file: &str, name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
    let page = std::fs::read_to_string(&path).unwrap();
    let [begin, end] = ["begin", "end"].map(|end| format!("<!-- {name}: {end} -->"));
    let (before, rest) = page.split_once(&begin).unwrap();
    let (found, after) = rest.split_once(&end).unwrap();
    let wanted = format!("\n{made}");
    if std::env::var("SYNCLINE_WRITE_DOCS").is_ok_and(|value| value == "1") {
        std::fs::write(&path, format!("{before}{begin}{wanted}{end}{after}")).unwrap();
    } else {
        assert_eq!(found, wanted, "{file}, {name}: run the test with SYNCLINE_WRITE_DOCS=1");
    }
}
