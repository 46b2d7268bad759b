//! Subjects whose parts do not fit are refused before any work.

use heuristics::HeuristicError;
use network::{Activation, mlp};
use repair::RepairError;

use crate::fixture::{Fixture, numbers};

/// The error of a subject that `spoil` has made senseless.
fn refusal(spoil: impl FnOnce(&mut Fixture)) -> HeuristicError {
    let checkpoint = mlp::random(&[3, 4, 2], Activation::Relu, 2).unwrap();
    let mut fixture = Fixture::new(checkpoint, &numbers(2 * 3, 1), &[0, 1]);
    spoil(&mut fixture);
    fixture.collect().unwrap_err()
}

#[test]
fn a_repair_set_without_labels_is_refused() {
    assert!(matches!(
        refusal(|f| f.set.labels = None),
        HeuristicError::NoLabels
    ));
    let error = refusal(|f| f.set.labels = Some(vec![0]));
    assert!(
        matches!(
            error,
            HeuristicError::Count {
                expected: 2,
                got: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn an_empty_repair_set_is_refused() {
    let error = refusal(|f| {
        f.set.inputs.clear();
        f.set.points.clear();
        f.set.labels = Some(Vec::new());
    });
    assert!(
        matches!(error, HeuristicError::Repair(RepairError::EmptySet)),
        "{error}"
    );
}

#[test]
fn a_guard_set_must_have_inputs_and_one_known_label_each() {
    let error = refusal(|f| f.guard_labels.clear());
    assert!(
        matches!(error, HeuristicError::Repair(RepairError::NoGuard)),
        "{error}"
    );
    let error = refusal(|f| f.guard_labels.truncate(39));
    assert!(
        matches!(
            error,
            HeuristicError::Count {
                expected: 117,
                got: 120,
                ..
            }
        ),
        "{error}"
    );
    let error = refusal(|f| f.guard_labels[3] = 2);
    assert!(
        matches!(
            error,
            HeuristicError::GuardLabel {
                example: 3,
                label: 2,
                classes: 2
            }
        ),
        "{error}"
    );
}

#[test]
fn counterparts_must_be_as_many_as_the_repair_inputs() {
    let error = refusal(|f| f.clean = Some(vec![0.0; 3]));
    assert!(
        matches!(
            error,
            HeuristicError::Count {
                expected: 6,
                got: 3,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "numbers in the clean counterparts: expected 6, got 3"
    );
}
