//! APRNN with its authors' settings (Tao, Nawas, Mitchell & Thakur, PLDI 2023).

use std::time::Instant;

use super::{Baseline, BaselineOutcome, BaselineRepair, BaselineStop, BaselineTask, Predictor};
use crate::{
    Method, Objective, Options, Outcome, Problem, Repair, RepairError, Report, StopReason, repair,
};

/// Frozen pattern, later biases, no weight or bias moved by more than 3, and the objective of
/// experiment 1.
///
/// Experiment 1 starts at the second linear layer of the 3x100 network, at the sixth of 9x100 and
/// at the seventh of 9x200.
#[derive(Clone, Copy, Debug, Default)]
pub struct Aprnn;

/// Largest change of a weight or bias in the authors' experiment 1.
const BOX: f64 = 3.0;

impl Aprnn {
    /// The settings as options of [`repair`](crate::repair).
    pub fn options() -> Options {
        Options {
            method: Method::Frozen,
            objective: Objective::Aprnn,
            later_biases: Some(true),
            box_bound: Some(BOX),
            ..Options::default()
        }
    }
}

impl Baseline for Aprnn {
    fn name(&self) -> &'static str {
        "aprnn"
    }

    fn run(&self, task: &BaselineTask<'_>) -> Result<BaselineOutcome, RepairError> {
        let start = Instant::now();
        let problem = Problem {
            network: task.network,
            checkpoint: task.checkpoint,
            layers: std::slice::from_ref(task.layer),
            set: task.set,
            guard: None,
            start: None,
        };
        let options = Options {
            time_limit: task.time_limit,
            ..Self::options()
        };
        let outcome = repair(&problem, &options)?;
        let seconds = start.elapsed().as_secs_f64();
        let plain = |repair: Repair, report: &Report| {
            Ok::<_, RepairError>(Box::new(BaselineRepair {
                predictor: Predictor::Plain {
                    network: task.loaded(&repair.checkpoint)?,
                    checkpoint: repair.checkpoint,
                },
                least_slack: repair.least_slack,
                efficacy: repair.efficacy,
                rounds: report.rounds,
                rows: [report.rows, report.rows_total],
                objective: report.objective,
                seconds,
            }))
        };
        Ok(match outcome {
            Outcome::Repaired(repair) => {
                let report = repair.report.clone();
                let plain = plain(*repair, &report)?;
                match report.rescaled {
                    // Its program failed; the change is that of another one.
                    true => BaselineOutcome::Stopped {
                        reason: BaselineStop::Repair(StopReason::Solver(
                            "the program's digits do not suffice".into(),
                        )),
                        best: Some(plain),
                        seconds,
                    },
                    false => BaselineOutcome::Repaired(plain),
                }
            }
            Outcome::Infeasible(conflict) => BaselineOutcome::Infeasible {
                points: conflict.points,
                radius: conflict.radius,
                seconds,
            },
            Outcome::Unknown(unfinished) => BaselineOutcome::Stopped {
                reason: BaselineStop::Repair(unfinished.reason),
                best: unfinished
                    .best
                    .map(|best| plain(best, &unfinished.report))
                    .transpose()?,
                seconds,
            },
        })
    }
}
