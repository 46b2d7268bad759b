//! Colours that are told apart with every kind of colour vision.

/// Phases and other categories without order (Okabe & Ito 2008).
const CATEGORIES: [&str; 6] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00",
];

/// Pale to deep blue, of evenly falling lightness.
const RAMP: [[f64; 3]; 4] = [
    [237.0, 243.0, 248.0],
    [158.0, 202.0, 225.0],
    [49.0, 130.0, 189.0],
    [8.0, 55.0, 112.0],
];

/// Purple over blue and green to amber: ordered by lightness, readable on white and on black.
const ORDERED: [[f64; 3]; 4] = [
    [110.0, 64.0, 170.0],
    [38.0, 130.0, 180.0],
    [45.0, 160.0, 110.0],
    [222.0, 150.0, 20.0],
];

/// The colour of the `n`-th category.
pub(crate) fn category(n: usize) -> &'static str {
    CATEGORIES[n % CATEGORIES.len()]
}

/// The colour of the `n`-th of `count` ordered items.
pub(crate) fn ordered(n: usize, count: usize) -> String {
    hexadecimal(blend(
        &ORDERED,
        n as f64 / count.saturating_sub(1).max(1) as f64,
    ))
}

/// The colour of a heat-map cell, 0 is pale and 1 is deep, and that of text on it.
pub(crate) fn heat(share: f64) -> (String, &'static str) {
    let color = blend(&RAMP, share);
    let luminance = 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2];
    let text = if luminance > 140.0 {
        "#10202e"
    } else {
        "#ffffff"
    };
    (hexadecimal(color), text)
}

fn blend(stops: &[[f64; 3]], share: f64) -> [f64; 3] {
    let position = share.clamp(0.0, 1.0) * (stops.len() - 1) as f64;
    let below = (position.floor() as usize).min(stops.len() - 2);
    let part = position - below as f64;
    std::array::from_fn(|i| stops[below][i] + part * (stops[below + 1][i] - stops[below][i]))
}

fn hexadecimal(color: [f64; 3]) -> String {
    let [red, green, blue] = color.map(|value| value.round().clamp(0.0, 255.0) as u8);
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_goes_from_pale_with_dark_text_to_deep_with_white_text() {
        assert_eq!(heat(0.0), ("#edf3f8".to_owned(), "#10202e"));
        assert_eq!(heat(1.0), ("#083770".to_owned(), "#ffffff"));
    }
}
