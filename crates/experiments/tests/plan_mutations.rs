//! Plans that were changed at random, in their structure and in their text: each is resolved to a plan that
//! reads back, or is a fault that points into the text.

mod common;

use std::path::Path;

use common::{PLAN, VOCABULARY};
use experiments::error::ExperimentError;
use experiments::plan::{Files, ResolvedPlan};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use toml::{Table, Value};

/// Plans of one test.
const PLANS: u64 = 4000;

const INTEGERS: [i64; 16] = [
    0,
    1,
    -1,
    2,
    5,
    50,
    100,
    101,
    1000,
    2000,
    9999,
    65_536,
    1 << 32,
    1 << 62,
    i64::MAX,
    i64::MIN,
];

const FLOATS: [f64; 10] = [
    0.0,
    -0.0,
    0.05,
    1.0,
    -1.0,
    1e9,
    1e300,
    5e-324,
    f64::INFINITY,
    f64::NAN,
];

const WORDS: [&str; 22] = [
    "all",
    "random",
    "first",
    "wrong",
    "clean",
    "fog",
    "sequential",
    "frozen",
    "guarded",
    "aprnn",
    "net",
    "first-order-cost",
    "sequential/guarded",
    "flex",
    "f32",
    "",
    "../x",
    "$INFORMED_REPAIR_ASSETS/x",
    "=1+1",
    "\u{1b}]0;x\u{7}",
    "é\u{301}中\u{1f600}",
    "</script>",
];

/// Text that is put into the text of a plan.
const SCRAPS: [&str; 14] = [
    "é",
    "\u{1f600}",
    "\"",
    "\"\"\"",
    "[",
    "]]",
    "=",
    "\n",
    "\r\n",
    "#",
    "\t",
    "0x",
    "1e400",
    "\u{0}",
];

/// Keys that plans have, in any table.
const KEYS: [&str; 24] = [
    "name",
    "seeds",
    "points",
    "layers",
    "jobs",
    "device",
    "dtype",
    "file",
    "method",
    "objective",
    "margin",
    "time_limit",
    "reference",
    "names",
    "default",
    "weights",
    "images",
    "labels",
    "source",
    "corruption",
    "range",
    "keep",
    "order",
    "limit",
];

fn value(rng: &mut ChaCha8Rng, depth: usize) -> Value {
    match rng.random_range(0..if depth == 0 { 5 } else { 8 }) {
        0 | 1 => Value::Integer(*INTEGERS.choose(rng).unwrap()),
        2 => Value::Float(*FLOATS.choose(rng).unwrap()),
        3 => Value::String((*WORDS.choose(rng).unwrap()).to_owned()),
        4 => Value::Boolean(rng.random()),
        5 | 6 => {
            let count = rng.random_range(0..4);
            Value::Array((0..count).map(|_| value(rng, depth - 1)).collect())
        }
        _ => Value::Table(Table::from_iter([(key(rng), value(rng, depth - 1))])),
    }
}

fn key(rng: &mut ChaCha8Rng) -> String {
    (*KEYS.choose(rng).unwrap()).to_owned()
}

/// Changes one place of a value.
fn change(rng: &mut ChaCha8Rng, at: &mut Value) {
    // Descends in most cases, so that leaves change.
    let descend = rng.random_bool(0.8);
    match at {
        Value::Table(table) if descend => change_table(rng, table),
        Value::Array(list) if descend && !list.is_empty() => {
            let position = rng.random_range(0..list.len());
            match rng.random_range(0..6) {
                0 => drop(list.remove(position)),
                1 => list.push(list[position].clone()),
                _ => change(rng, &mut list[position]),
            }
        }
        Value::Integer(number) if descend => {
            *number = number
                .wrapping_add(rng.random_range(-2..3))
                .wrapping_mul(*[1, 1, 2, -1].choose(rng).unwrap());
        }
        other => *other = value(rng, 2),
    }
}

fn change_table(rng: &mut ChaCha8Rng, table: &mut Table) {
    let keys: Vec<String> = table.keys().cloned().collect();
    let Some(chosen) = keys.choose(rng) else {
        table.insert(key(rng), value(rng, 2));
        return;
    };
    match rng.random_range(0..12) {
        0 => drop(table.remove(chosen)),
        1 => drop(table.insert(key(rng), value(rng, 2))),
        2 => {
            let moved = table.remove(chosen);
            let name = key(rng);
            table.extend(moved.map(|moved| (name, moved)));
        }
        _ => change(rng, &mut table[chosen.as_str()]),
    }
}

/// Changes the text itself, at any byte that begins a character.
fn change_text(rng: &mut ChaCha8Rng, text: &mut String) {
    let mut place = || {
        let at = rng.random_range(0..=text.len());
        (0..=at)
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0)
    };
    let (a, b) = (place(), place());
    let range = a.min(b)..a.max(b).min(a.min(b) + 40);
    let range = range.start
        ..(range.start..=range.end)
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(range.start);
    match rng.random_range(0..3) {
        0 => text.replace_range(range, ""),
        1 => {
            let copied = text[range].to_owned();
            let at = text.len() - copied.len().min(text.len());
            let at = (0..=at)
                .rev()
                .find(|&at| text.is_char_boundary(at))
                .unwrap_or(0);
            text.insert_str(at, &copied);
        }
        _ => text.insert_str(range.start, SCRAPS.choose(rng).unwrap()),
    }
}

/// Whether a plan is resolved; its faults are rendered as the command does.
fn resolves(text: &str) -> bool {
    let parse = |text: &str| {
        ResolvedPlan::parse(
            "plan.toml",
            text,
            &VOCABULARY,
            Path::new("/nowhere"),
            Files::Ignored,
        )
    };
    match parse(text) {
        Ok(plan) => {
            let written = plan.to_toml().unwrap();
            let again =
                parse(&written).unwrap_or_else(|fault| panic!("{fault}\n{text}\n{written}"));
            assert_eq!(again.to_toml().unwrap(), written, "{text}");
            assert!(
                !plan.files().is_empty() && plan.reference().is_some(),
                "{text}"
            );
            true
        }
        Err(fault) => {
            assert_eq!(fault.exit_code(), 2, "{text}");
            assert_points_into(&fault, text);
            false
        }
    }
}

fn assert_points_into(fault: &ExperimentError, text: &str) {
    for label in fault.labels().into_iter().flatten() {
        let (start, end) = (label.offset(), label.offset() + label.len());
        assert!(
            text.get(start..end).is_some(),
            "{start}..{end} is no part of\n{text}"
        );
    }
    let mut shown = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .render_report(&mut shown, fault)
        .unwrap();
    assert!(shown.contains("bad plan"), "{shown}");
}

#[test]
fn plans_of_another_structure_are_resolved_or_faults() {
    let whole: Table = PLAN.parse().unwrap();
    let mut resolved = 0;
    for seed in 0..PLANS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut plan = Value::Table(whole.clone());
        for _ in 0..rng.random_range(1..4) {
            change(&mut rng, &mut plan);
        }
        if let Ok(text) = toml::to_string(&plan) {
            resolved += u64::from(resolves(&text));
        }
    }
    assert!(
        resolved > PLANS / 100 && resolved < PLANS / 2,
        "{resolved} of {PLANS}"
    );
}

#[test]
fn plans_of_another_text_are_resolved_or_faults() {
    let mut resolved = 0;
    for seed in 0..PLANS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut text = PLAN.to_owned();
        for _ in 0..rng.random_range(1..4) {
            change_text(&mut rng, &mut text);
        }
        resolved += u64::from(resolves(&text));
    }
    assert!(
        resolved > PLANS / 100 && resolved < PLANS,
        "{resolved} of {PLANS}"
    );
}
