//! How far the device is from the reference device, operator shape by operator shape.

use network::CheckedOperator;
use serde::Serialize;

use crate::store::DeviceChecks;

/// What was found for one network at one time.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceRow<'a> {
    network: &'a str,
    since: &'a str,
    summary: String,
    operators: Vec<OperatorRow<'a>>,
}

/// One operator shape; differences are shares of the scale.
#[derive(Debug, Serialize)]
struct OperatorRow<'a> {
    operator: &'a str,
    nodes: usize,
    forward: String,
    backward: String,
    seconds: String,
}

/// Every check of a run, in the order of time.
pub(crate) fn rows(checks: &[DeviceChecks]) -> Vec<DeviceRow<'_>> {
    let networks = checks.iter().flat_map(|found| {
        let networks = found.networks.iter();
        networks.map(|(network, check)| DeviceRow {
            network,
            since: &found.since,
            summary: check.to_string(),
            operators: check.operators.iter().map(operator).collect(),
        })
    });
    networks.collect()
}

fn operator(row: &CheckedOperator) -> OperatorRow<'_> {
    let share = |share: f64| format!("{share:.1e}");
    OperatorRow {
        operator: &row.operator,
        nodes: row.nodes.len(),
        forward: share(row.forward),
        backward: row.backward.map_or_else(String::new, share),
        seconds: format!("{:.2}", row.seconds),
    }
}
