//! Stacks as a flame graph: the width of a box is the time that goroutines waited in the function or in what it called.
//!
//! One SVG file without scripts, which every browser shows from the disk. Callers are below; the reason of the wait is on top.
//! Pointing at a box tells its function, place, time and number of waits.

mod tree;

use std::fmt::Write as _;

use crate::sites::StackSum;
use crate::text::{span, waits};
use crate::xml::escaped;
use tree::{Kind, Node, Tree};

const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 10.0;
const BOX_HEIGHT: f64 = 18.0;
const HEADING_HEIGHT: f64 = 64.0;
/// Advance of a character of the font, as a part of the drawing.
const CHARACTER: f64 = 7.2;
/// What is narrower cannot be seen, and a large program has many thousands of such boxes.
const NARROWEST: f64 = 0.3;

/// What stands above the graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caption {
    /// What it shows.
    pub title: String,
    /// How it was recorded and what was lost.
    pub note: String,
}

/// The flame graph as an SVG document.
#[must_use]
pub fn flame_svg(stacks: &[&StackSum], caption: &Caption) -> String {
    let tree = Tree::of(stacks);
    let mut drawing = Drawing::new(&tree);
    drawing.place(0, MARGIN);
    drawing.finish(caption)
}

struct Drawing<'a> {
    tree: &'a Tree,
    /// Units of the drawing for a nanosecond.
    scale: f64,
    bottom: f64,
    boxes: String,
    narrow: usize,
}

impl<'a> Drawing<'a> {
    fn new(tree: &'a Tree) -> Self {
        let whole_ns = tree.nodes.first().map_or(0, |root| root.waited_ns).max(1);
        let bottom = HEADING_HEIGHT + BOX_HEIGHT * tree.height() as f64;
        Self { tree, scale: (WIDTH - 2.0 * MARGIN) / whole_ns as f64, bottom, boxes: String::new(), narrow: 0 }
    }

    /// Draws a box and all on top of it; not by recursion, since stacks are as deep as the observed program likes.
    fn place(&mut self, root: usize, x: f64) {
        let mut open = vec![(root, x)];
        while let Some((index, x)) = open.pop() {
            let node = &self.tree.nodes[index];
            let width = node.waited_ns as f64 * self.scale;
            if width < NARROWEST {
                self.narrow += 1;
                continue;
            }
            self.draw(node, x, width);
            let mut child_x = x;
            for &child in &node.children {
                open.push((child, child_x));
                child_x += self.tree.nodes[child].waited_ns as f64 * self.scale;
            }
        }
    }

    fn draw(&mut self, node: &Node, x: f64, width: f64) {
        let y = self.bottom - BOX_HEIGHT * (node.depth + 1) as f64;
        let (class, tip) = (class_of(node), escaped(&self.tip(node)));
        // Writing to a string does not fail.
        let _ = write!(
            self.boxes,
            "<g class=\"{class}\"><title>{tip}</title><rect x=\"{x:.2}\" y=\"{y:.1}\" width=\"{width:.2}\" height=\"{:.1}\"/>",
            BOX_HEIGHT - 1.0
        );
        if let Some(label) = label(node, width) {
            let (x, y) = (x + 3.0, y + 13.0);
            let _ = write!(self.boxes, "<text x=\"{x:.2}\" y=\"{y:.1}\">{}</text>", escaped(&label));
        }
        self.boxes.push_str("</g>\n");
    }

    fn tip(&self, node: &Node) -> String {
        let whole_ns = self.tree.nodes.first().map_or(0, |root| root.waited_ns).max(1);
        let share = 100.0 * node.waited_ns as f64 / whole_ns as f64;
        let place = if node.place.is_empty() { String::new() } else { format!(" at {}", node.place) };
        format!("{}{place}\n{} in {}, {share:.1} % of all", node.name, span(node.waited_ns), waits(node.count))
    }

    fn finish(self, caption: &Caption) -> String {
        let height = self.bottom + MARGIN;
        let root = self.tree.nodes.first();
        let total =
            root.map_or_else(String::new, |root| format!("{} waited in {}", span(root.waited_ns), waits(root.count)));
        let narrow = match self.narrow {
            0 => String::new(),
            1 => "; one box is too narrow to be drawn".to_owned(),
            boxes => format!("; {boxes} boxes are too narrow to be drawn"),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n\
             <text class=\"title\" x=\"{MARGIN}\" y=\"22\">{title}</text>\n\
             <text x=\"{MARGIN}\" y=\"40\">{total}{narrow}</text>\n<text x=\"{MARGIN}\" y=\"56\">{note}</text>\n{boxes}</svg>\n",
            title = escaped(&caption.title),
            note = escaped(&caption.note),
            total = escaped(&total),
            boxes = self.boxes,
        )
    }
}

const STYLE: &str = "text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#111;pointer-events:none}\
    .title{font-size:16px;font-weight:600}.ground{fill:#fff}rect{rx:1.5px}g:hover rect{stroke:#111}\
    .all rect{fill:#d8d8d8}.plumbing rect{fill:#e6e6e6}.reason rect{fill:#9cc3e6}\
    .a rect{fill:#f6b26b}.b rect{fill:#f9cb9c}.c rect{fill:#ffd966}.d rect{fill:#ffe599}.e rect{fill:#f4a582}.f rect{fill:#fbd5b5}";

/// Functions of one package have one colour.
fn class_of(node: &Node) -> &'static str {
    const COLOURS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    match node.kind {
        Kind::All => "all",
        Kind::Plumbing => "plumbing",
        Kind::Reason => "reason",
        Kind::Program => {
            let sum = package_of(&node.name)
                .bytes()
                .fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
            COLOURS[sum % COLOURS.len()]
        }
    }
}

/// `example.com/shop/cart` of `example.com/shop/cart.(*Cart).Add`.
fn package_of(function: &str) -> &str {
    let last = function.rfind('/').map_or(0, |slash| slash + 1);
    function[last..].find('.').map_or(function, |dot| &function[..last + dot])
}

/// As much of the name as fits into the box; none if that says nothing.
fn label(node: &Node, width: f64) -> Option<String> {
    let room = ((width - 6.0) / CHARACTER).max(0.0) as usize;
    let name = if node.kind == Kind::Reason { format!("[{}]", node.name) } else { node.name.clone() };
    if name.chars().count() <= room {
        return Some(name);
    }
    let start = name.chars().take(room.saturating_sub(1)).collect::<String>();
    (room >= 4).then(|| format!("{start}…"))
}

#[cfg(test)]
mod tests {
    use roxmltree::{Document, Node as Element};

    use super::*;
    use crate::sites::Sites;
    use crate::sites::tests::wait;

    const TRANSFER: [&str; 4] = ["runtime.gopark", "sync.(*Mutex).lockSlow", "main.transfer", "main.main"];

    fn drawn(sites: &Sites) -> String {
        let caption = Caption { title: "waits of <cart> & co".to_owned(), note: "lost 0".to_owned() };
        flame_svg(&sites.stacks(), &caption)
    }

    fn tip(element: &Element<'_, '_>) -> String {
        element.children().find(|child| child.has_tag_name("title")).and_then(|title| title.text()).unwrap().to_owned()
    }

    /// The boxes: name, x, y and width.
    fn boxes(document: &Document<'_>) -> Vec<(String, f64, f64, f64)> {
        let number = |rect: Element<'_, '_>, name| rect.attribute(name).unwrap().parse::<f64>().unwrap();
        let one = |group: Element<'_, '_>| {
            let rect = group.children().find(|child| child.has_tag_name("rect")).unwrap();
            let name = tip(&group).lines().next().unwrap().split(" at ").next().unwrap().to_owned();
            (name, number(rect, "x"), number(rect, "y"), number(rect, "width"))
        };
        document.descendants().filter(|element| element.has_tag_name("g")).map(one).collect()
    }

    #[test]
    fn widths_are_blocked_times_and_callees_stand_on_their_callers() {
        let mut sites = Sites::default();
        sites.add(&wait(1, &TRANSFER, "sync.Mutex.Lock", 750));
        sites.add(&wait(2, &["runtime.gopark", "main.main"], "select", 250));
        let svg = drawn(&sites);
        let document = Document::parse(&svg).unwrap();
        let boxes = boxes(&document);
        let find =
            |name: &str| boxes.iter().find(|found| found.0 == name).unwrap_or_else(|| panic!("{name}: {boxes:?}"));
        let whole = find("all").3;
        assert!((find("main.transfer").3 - 0.75 * whole).abs() < 0.1 && (find("select").3 - 0.25 * whole).abs() < 0.1);
        assert!((find("main.main").3 - whole).abs() < 0.1);
        let inside = |inner: &str, outer: &str| {
            let (inner, outer) = (find(inner), find(outer));
            inner.1 >= outer.1 - 0.01 && inner.1 + inner.3 <= outer.1 + outer.3 + 0.02 && inner.2 < outer.2
        };
        assert!(inside("main.transfer", "main.main") && inside("sync.Mutex.Lock", "main.transfer"));
        assert!(svg.contains("750 ns in 1 wait, 75.0 % of all"), "{svg}");
        assert!(svg.contains("1.00 µs waited in 2 waits"), "{svg}");
    }

    #[test]
    fn names_cannot_leave_their_place_and_nothing_is_loaded() {
        let mut sites = Sites::default();
        sites.add(&wait(
            1,
            &["main.Map[<script>alert('x')</script>]", "main.\u{1}&\"main"],
            "</title><svg onload=x>",
            9,
        ));
        let svg = drawn(&sites);
        let document = Document::parse(&svg).unwrap();
        let tags: Vec<_> = document.descendants().filter(Element::is_element).map(|e| e.tag_name().name()).collect();
        assert!(tags.iter().all(|tag| ["svg", "title", "style", "rect", "text", "g"].contains(tag)), "{tags:?}");
        assert!(
            document
                .descendants()
                .any(|e| e.is_element() && e.has_tag_name("g") && tip(&e).contains("<script>alert('x')"))
        );
        assert!(!svg.contains("href") && !svg.contains("<script") && !svg.contains("url("), "{svg}");
    }

    #[test]
    fn narrow_boxes_are_left_out_and_counted() {
        let mut sites = Sites::default();
        sites.add(&wait(1, &["main.long"], "select", 1_000_000));
        sites.add(&wait(2, &["main.short"], "select", 10));
        let svg = drawn(&sites);
        assert!(svg.contains("one box is too narrow") && !svg.contains("main.short"), "{svg}");
    }

    #[test]
    fn nothing_and_the_deepest_stack_are_drawn_too() {
        assert!(Document::parse(&drawn(&Sites::default())).is_ok());
        let mut sites = Sites::default();
        sites.add(&wait(1, &["main.descend"; 20_000], "select", 1));
        let svg = drawn(&sites);
        assert!(Document::parse(&svg).is_ok() && svg.contains("[select]"));
    }

    #[test]
    fn a_package_is_what_comes_before_the_functions_name() {
        assert_eq!(package_of("example.com/shop/cart.(*Cart).Add"), "example.com/shop/cart");
        assert_eq!(package_of("main.main"), "main");
        assert_eq!(package_of("0x4a3f"), "0x4a3f");
    }
}
