//! The time limit of the whole command.

use std::path::Path;

use super::{Folder, expect, repair};

#[test]
fn a_spent_time_limit_exits_with_4_and_writes_nothing() {
    let folder = Folder::new();
    let (network, points) = (
        folder.line(),
        folder.batch("points", &[([0.0, 0.0], 0), ([2.0, 0.0], 1)]),
    );
    let out = folder.path("out");
    for method in ["frozen", "sequential"] {
        let (said, _) = expect(
            &repair(&[
                "--network",
                &network,
                "--repair",
                &points,
                "--layer",
                "last",
                "--out",
                &out,
                "--objective",
                "l2",
                "--method",
                method,
                "--time-limit",
                "1e-9",
            ]),
            4,
        );
        // As it was given, not what was left of it.
        assert!(said.starts_with("unknown: time (0.0 s)"), "{said}");
        assert!(!Path::new(&out).exists());
    }
}
