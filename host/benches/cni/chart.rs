//! Ratios as a chart: a bar for each call, where shorter is faster, and a line at
//! equality. Pure text; must not know: files.

use crate::{report::Report, subject::Who, tables::short};

const LABELS: f64 = 330.0;
const BARS: f64 = 420.0;
const LINE: f64 = 20.0;
const TOP: f64 = 44.0;

/// An SVG image; none if there is nothing to compare.
pub(crate) fn svg(report: &Report) -> Option<String> {
    let ours = report.rows.iter().filter(|row| row.by == Who::WasmCni);
    let bars: Vec<(String, f64)> = ours
        .filter_map(|row| {
            let ratio = row.wall.median / report.opposite(row)?.wall.median;
            Some((format!("{}, {}", row.call, row.title), ratio))
        })
        .collect();
    if bars.is_empty() {
        return None;
    }
    let longest = bars.iter().map(|(_, ratio)| *ratio).fold(1.0, f64::max);
    let scale = BARS / longest;
    let height = TOP + bars.len() as f64 * LINE + 12.0;
    let width = LABELS + BARS + 60.0;
    let one = LABELS + scale;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\">\n<title>wasm-cni against the reference plugins</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"14\">\
         Wall time as a part of the reference's (medians of one run; less is faster)</text>\n"
    );
    for (i, (label, ratio)) in bars.iter().enumerate() {
        let y = TOP + i as f64 * LINE;
        let (length, text) = (ratio * scale, y + 12.0);
        let fill = if *ratio <= 1.0 { "#2a78b8" } else { "#c0502d" };
        svg += &format!(
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LABELS}\" y=\"{}\" width=\"{length:.1}\" height=\"{}\" fill=\"{fill}\"/>\n\
             <text x=\"{:.1}\" y=\"{text}\">{}</text>\n",
            LABELS - 8.0,
            escaped(label),
            y + 1.0,
            LINE - 5.0,
            LABELS + length + 5.0,
            short(*ratio),
        );
    }
    svg += &format!(
        "<line x1=\"{one:.1}\" y1=\"{}\" x2=\"{one:.1}\" y2=\"{}\" stroke=\"#444\" stroke-dasharray=\"4 3\"/>\n\
         <text x=\"{one:.1}\" y=\"{}\" text-anchor=\"middle\">1</text>\n</svg>\n",
        TOP - 4.0,
        height - 8.0,
        TOP - 8.0,
    );
    Some(svg)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
