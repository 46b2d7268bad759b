//! A small SVG writer: shapes and text into one `<svg>` element that follows the page's colours.

use std::fmt::Write as _;

/// Where a text's position is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// The shape of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Cross,
}

impl Marker {
    /// The `n`-th of the shapes, from the start again after the last.
    pub(crate) fn nth(n: usize) -> Self {
        const ALL: [Marker; 5] = [
            Marker::Circle,
            Marker::Square,
            Marker::Triangle,
            Marker::Diamond,
            Marker::Cross,
        ];
        ALL[n % ALL.len()]
    }
}

/// A drawing in pixels, the origin at the top left.
#[derive(Debug)]
pub(crate) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

impl Svg {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self {
            width,
            height,
            body: String::new(),
        }
    }

    /// The element; `label` is read out where the drawing cannot be seen.
    pub(crate) fn finish(self, label: &str) -> String {
        format!(
            "<svg viewBox=\"0 0 {w:.0} {h:.0}\" style=\"max-width:{w:.0}px;min-width:{m:.0}px\" role=\"img\" aria-label=\"{label}\">{body}</svg>",
            w = self.width,
            h = self.height,
            m = self.width * 0.8,
            label = escape(label),
            body = self.body
        )
    }

    pub(crate) fn line(&mut self, class: &str, x1: f64, y1: f64, x2: f64, y2: f64) {
        let _ = write!(
            self.body,
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    }

    /// A rectangle with a tooltip.
    pub(crate) fn rect(&mut self, area: Area, fill: &str, tip: &str) {
        let Area {
            x,
            y,
            width,
            height,
        } = area;
        let _ = write!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\" fill=\"{fill}\"><title>{}</title></rect>",
            escape(tip)
        );
    }

    /// A rectangle drawn by a style class.
    pub(crate) fn empty_rect(&mut self, area: Area, class: &str, tip: &str) {
        let Area {
            x,
            y,
            width,
            height,
        } = area;
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\"><title>{}</title></rect>",
            escape(tip)
        );
    }

    pub(crate) fn text(&mut self, class: &str, x: f64, y: f64, anchor: Anchor, text: &str) {
        self.colored_text(class, x, y, anchor, text, None);
    }

    pub(crate) fn colored_text(
        &mut self,
        class: &str,
        x: f64,
        y: f64,
        anchor: Anchor,
        text: &str,
        fill: Option<&str>,
    ) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let style = fill.map_or_else(String::new, |fill| format!(" style=\"fill:{fill}\""));
        let _ = write!(
            self.body,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{style}>{}</text>",
            escape(text)
        );
    }

    /// Text that reads upwards, centred at a point.
    pub(crate) fn upward_text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let _ = write!(
            self.body,
            "<text class=\"{class}\" transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escape(text)
        );
    }

    /// A mark with a tooltip, about 9 pixels wide.
    pub(crate) fn marker(&mut self, marker: Marker, x: f64, y: f64, color: &str, tip: &str) {
        let shape = match marker {
            Marker::Circle => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\""),
            Marker::Square => polygon(x, y, &[(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)]),
            Marker::Triangle => polygon(x, y, &[(0.0, -5.2), (5.0, 3.8), (-5.0, 3.8)]),
            Marker::Diamond => polygon(x, y, &[(0.0, -5.6), (5.6, 0.0), (0.0, 5.6), (-5.6, 0.0)]),
            Marker::Cross => polygon(
                x,
                y,
                &[
                    (-5.0, -1.6),
                    (-1.6, -1.6),
                    (-1.6, -5.0),
                    (1.6, -5.0),
                    (1.6, -1.6),
                    (5.0, -1.6),
                    (5.0, 1.6),
                    (1.6, 1.6),
                    (1.6, 5.0),
                    (-1.6, 5.0),
                    (-1.6, 1.6),
                    (-5.0, 1.6),
                ],
            ),
        };
        let _ = write!(
            self.body,
            "{shape} class=\"mark\" fill=\"{color}\"><title>{}</title></{}>",
            escape(tip),
            if marker == Marker::Circle {
                "circle"
            } else {
                "polygon"
            }
        );
    }
}

/// A rectangle's place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

fn polygon(x: f64, y: f64, corners: &[(f64, f64)]) -> String {
    let points: Vec<String> = corners
        .iter()
        .map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy))
        .collect();
    format!("<polygon points=\"{}\"", points.join(" "))
}

/// Text that is safe in an element and in a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Other control characters are in no version of XML.
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_element() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.text(
            "t",
            0.0,
            0.0,
            Anchor::Start,
            "</text><script>\"a\" & b\u{1}",
        );
        let drawn = svg.finish("\"><script>");
        assert!(!drawn.contains("<script"));
        assert!(drawn.contains("&lt;/text&gt;&lt;script&gt;&quot;a&quot; &amp; b "));
    }
}
