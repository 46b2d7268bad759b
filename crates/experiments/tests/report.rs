//! The report: complete, self-contained, well-formed.

mod common;

use common::{SyntheticLab, VOCABULARY, plan, repository, run_plan};
use experiments::record::Outcome;
use experiments::regret::BRUTE_FORCE;
use experiments::results::Results;
use experiments::{report, table};

fn results(layers: usize) -> Results {
    let (root, out) = (repository(), tempfile::tempdir().unwrap());
    let mut plan = plan(root.path());
    plan.points = vec![10, 50, 100];
    plan.seeds = vec![0, 1, 2];
    run_plan(&plan, out.path(), &SyntheticLab::new(layers, 0), false).unwrap();
    if let Some(folder) = std::env::var_os("SYNTHETIC_REPORT") {
        let file = std::path::Path::new(&folder).join(format!("synthetic-{layers}.html"));
        std::fs::copy(out.path().join("report.html"), file).unwrap();
    }
    Results::read(out.path(), &VOCABULARY).unwrap()
}

/// Checks that elements nest and close, and returns their names in order of opening.
fn elements(html: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    let mut rest = html.strip_prefix("<!doctype html>").unwrap();
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "a tag within the tag <{tag}");
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes of <{tag}>");
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(|c| c.is_alphanumeric())
            .collect();
        if tag.starts_with('/') {
            assert_eq!(
                open.pop().as_deref(),
                Some(name.as_str()),
                "closed by <{tag}>"
            );
        } else {
            seen.push(name.clone());
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    seen
}

#[test]
fn the_report_is_well_formed_and_loads_nothing() {
    let html = report::render(&results(4)).unwrap();
    let names = elements(&html);
    for forbidden in ["script", "link", "iframe", "object", "embed"] {
        assert!(!names.iter().any(|name| name == forbidden), "<{forbidden}>");
    }
    for address in ["http:", "https:", "//", "url(", "@import", "javascript:"] {
        // Base64 has slashes of its own.
        let text: String = html
            .split("data:image/png;base64,")
            .enumerate()
            .map(|(i, part)| {
                if i == 0 {
                    part
                } else {
                    &part[part.find('"').unwrap()..]
                }
            })
            .collect();
        assert!(!text.contains(address), "{address}");
    }
    assert_eq!(names.iter().filter(|name| *name == "img").count(), 12);
    assert_eq!(
        names.iter().filter(|name| *name == "svg").count(),
        2 + 1 + 1 + 2
    );
}

#[test]
fn the_report_has_every_section_and_every_failure() {
    let results = results(4);
    let html = report::render(&results).unwrap();
    for section in [
        "answer",
        "methods",
        "examples",
        "layers",
        "tradeoff",
        "heuristics",
        "prices",
        "time",
        "splits",
        "failures",
        "reproduce",
    ] {
        assert!(
            html.contains(&format!("<section id=\"{section}\">")),
            "{section}"
        );
    }
    let failures = results
        .trials
        .iter()
        .filter(|trial| !trial.outcome.is_repaired());
    assert!(failures.clone().count() > 0);
    for trial in failures {
        let escaped = trial.trial.replace('/', "&#x2f;");
        assert!(html.contains(&escaped), "{}", trial.trial);
    }
    assert!(
        html.contains("10 points &lt;right&gt; &amp;"),
        "reasons are escaped"
    );
    for file in &results.manifest.files {
        assert!(html.contains(&file.sha256), "{}", file.path);
    }
}

#[test]
fn rendering_twice_gives_the_same_bytes() {
    let results = results(9);
    assert_eq!(
        report::render(&results).unwrap(),
        report::render(&results).unwrap()
    );
}

#[test]
fn a_run_without_a_single_record_still_has_a_report() {
    let mut results = results(2);
    results.trials.clear();
    results.selections.clear();
    results.regrets.clear();
    elements(&report::render(&results).unwrap());
    assert!(table::render(&results).contains("0/0"));
}

#[test]
fn repair_sets_that_no_layer_repairs_count_in_the_opening() {
    let mut results = results(4);
    results.plan.heuristics.default = None;
    let hopeless = results.trials[0].set();
    let of_set = results
        .trials
        .iter_mut()
        .filter(|trial| trial.set() == hopeless);
    for trial in of_set {
        trial.outcome = Outcome::Infeasible {
            reason: "points 0 and 1 conflict".to_owned(),
        };
    }
    results
        .selections
        .retain(|pick| pick.heuristic != BRUTE_FORCE || pick.set() != hopeless);
    let html = report::render(&results).unwrap();
    let opening = "repairs 8 of 9 repair sets. It repairs 1 of them at no layer.";
    assert!(html.contains(opening), "{html}");
}

#[test]
fn a_heuristic_that_scores_no_layer_is_shown_with_any() {
    let mut results = results(3);
    assert!(!table::render(&results).contains("any"));
    results.regrets[0].layer = None;
    assert!(table::render(&results).contains("any: sets without a score"));
    assert!(report::render(&results).unwrap().contains("any (1×)"));
}

#[test]
fn the_terminal_table_has_a_row_per_method_and_layer() {
    let text = table::render(&results(3));
    let rows = |name: &str| text.lines().filter(|line| line.contains(name)).count();
    assert_eq!(
        (rows("┆ sequential-guarded ┆"), rows("┆ frozen-aprnn")),
        (3, 3),
        "{text}"
    );
    assert_eq!(rows("brute-force"), 1, "{text}");
    assert!(!text.contains("-0.00"), "{text}");
}
