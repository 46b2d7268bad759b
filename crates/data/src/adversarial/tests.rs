//! Attacks on linear losses, whose worst points are known.

use proptest::prelude::*;

use super::*;

/// The loss `w · x` of each example, `w` the same for all.
struct Linear(Vec<f32>);

impl Gradient for Linear {
    fn loss_gradient(
        &mut self,
        _inputs: &[f32],
        labels: &[usize],
    ) -> Result<Vec<f32>, Box<dyn Error + Send + Sync>> {
        Ok(self.0.repeat(labels.len()))
    }
}

/// The loss `-‖x - x*‖² / 2`, whose greatest value is at `x*`.
struct Peak(Vec<f32>);

impl Gradient for Peak {
    fn loss_gradient(
        &mut self,
        inputs: &[f32],
        _labels: &[usize],
    ) -> Result<Vec<f32>, Box<dyn Error + Send + Sync>> {
        let peaks = self.0.iter().cycle();
        Ok(inputs.iter().zip(peaks).map(|(x, peak)| peak - x).collect())
    }
}

fn dataset(inputs: &[&[f32]]) -> Dataset {
    let ids = (0..inputs.len() as u32).map(|i| ExampleId::clean("drawn", i));
    let labels = vec![0; inputs.len()];
    Dataset::new(
        vec![inputs[0].len()],
        inputs.concat(),
        labels,
        2,
        ids.collect(),
    )
    .unwrap()
}

fn linf(epsilon: f32, step: f32, steps: usize) -> Pgd {
    Pgd {
        norm: Norm::Linf,
        epsilon,
        step,
        steps,
        seed: None,
    }
}

fn close(got: &[f32], expected: &[f32]) {
    for (a, b) in got.iter().zip(expected) {
        assert!((a - b).abs() < 1e-6, "{got:?} against {expected:?}");
    }
    assert_eq!(got.len(), expected.len());
}

#[test]
fn fgsm_steps_along_the_sign_and_stops_at_the_box() {
    let mut model = Linear(vec![2.0, -0.1, 0.0, 5.0]);
    let clean = dataset(&[&[0.5, 0.5, 0.5, 0.95], &[0.05, 0.05, 0.05, 0.05]]);
    let attack = fgsm(&mut model, &clean, 0.1, &PixelBox::unit()).unwrap();
    close(attack.example(0), &[0.6, 0.4, 0.5, 1.0]);
    close(attack.example(1), &[0.15, 0.0, 0.05, 0.15]);
    assert_eq!(attack.ids[1].to_string(), "drawn[1] fgsm:0.1");
    assert_eq!(attack.ids[1].image(), clean.ids[1].image());
}

#[test]
fn epsilon_is_in_pixels_whatever_the_normalisation() {
    // Two channels of two values: pixels are (x - lower) / (upper - lower).
    let pixels = PixelBox {
        lower: vec![-2.0, 0.0],
        upper: vec![2.0, 255.0],
    };
    let clean = dataset(&[&[0.0, 1.9, 100.0, 0.0]]);
    let mut model = Linear(vec![1.0, 1.0, 1.0, -1.0]);
    let attack = fgsm(&mut model, &clean, 0.1, &pixels).unwrap();
    for (got, expected) in attack.inputs.iter().zip([0.4, 2.0, 125.5, 0.0]) {
        assert!((got - expected).abs() < 1e-4, "{:?}", attack.inputs);
    }
}

#[test]
fn pgd_reaches_the_corner_of_the_ball_of_a_linear_loss() {
    let clean = dataset(&[&[0.5, 0.5], &[0.02, 0.5]]);
    let mut model = Linear(vec![-1.0, 3.0]);
    let attack = pgd(&mut model, &clean, linf(0.1, 0.04, 10), &PixelBox::unit()).unwrap();
    close(attack.example(0), &[0.4, 0.6]);
    close(attack.example(1), &[0.0, 0.6]);
    assert_eq!(&*attack.ids[0].variant, "pgd_linf:0.1:0.04:10");
}

#[test]
fn l2_pgd_moves_by_epsilon_along_the_gradient() {
    let clean = dataset(&[&[0.5, 0.5]]);
    let attack = Pgd {
        norm: Norm::L2,
        ..linf(0.1, 0.03, 10)
    };
    let attacked = pgd(
        &mut Linear(vec![3.0, 4.0]),
        &clean,
        attack,
        &PixelBox::unit(),
    )
    .unwrap();
    close(&attacked.inputs, &[0.56, 0.58]);
    let flat = pgd(
        &mut Linear(vec![0.0, 0.0]),
        &clean,
        attack,
        &PixelBox::unit(),
    )
    .unwrap();
    assert_eq!(flat.inputs, clean.inputs);
}

#[test]
fn pgd_finds_a_maximum_inside_the_ball() {
    let clean = dataset(&[&[0.5, 0.5]]);
    let mut model = Peak(vec![0.53, 0.46]);
    let attack = pgd(&mut model, &clean, linf(0.1, 0.01, 20), &PixelBox::unit()).unwrap();
    // A sign step cannot come closer than its length.
    for (got, peak) in attack.inputs.iter().zip([0.53, 0.46]) {
        assert!((got - peak).abs() <= 0.01 + 1e-6, "{:?}", attack.inputs);
    }
}

#[test]
fn random_starts_follow_the_seed_and_the_identity_not_the_set() {
    let clean = dataset(&[&[0.5; 6], &[0.5; 6]]);
    for norm in [Norm::Linf, Norm::L2] {
        let run = |clean: &Dataset, seed| {
            let attack = Pgd {
                norm,
                seed: Some(seed),
                ..linf(0.1, 1e-6, 1)
            };
            pgd(&mut Linear(vec![1.0; 6]), clean, attack, &PixelBox::unit()).unwrap()
        };
        let both = run(&clean, 3);
        assert_ne!(both.example(0), both.example(1));
        assert_ne!(both.inputs, run(&clean, 4).inputs);
        assert_eq!(
            run(&clean.subset(&[1]).unwrap(), 3),
            both.subset(&[1]).unwrap()
        );
        assert_eq!(
            &*both.ids[0].variant,
            format!("pgd_{}:0.1:0.000001:1:3", norm.name())
        );
    }
}

#[test]
fn what_cannot_be_attacked_is_refused() {
    let clean = dataset(&[&[0.5, 0.5]]);
    let attack = |clean: &Dataset, epsilon, pixels: &PixelBox, weights: &[f32]| {
        fgsm(&mut Linear(weights.to_vec()), clean, epsilon, pixels)
    };
    let unit = PixelBox::unit();
    for epsilon in [0.0, -1.0, f32::NAN] {
        assert!(matches!(
            attack(&clean, epsilon, &unit, &[1.0, 1.0]),
            Err(DataError::AttackParameter {
                parameter: "epsilon",
                ..
            })
        ));
    }
    let empty = PixelBox {
        lower: vec![1.0],
        upper: vec![1.0],
    };
    let three = PixelBox {
        lower: vec![0.0; 3],
        upper: vec![1.0; 3],
    };
    for pixels in [empty, three] {
        assert!(matches!(
            attack(&clean, 0.1, &pixels, &[1.0, 1.0]),
            Err(DataError::AttackParameter {
                parameter: "pixel box",
                ..
            })
        ));
    }
    let outside = dataset(&[&[0.5, 1.5]]);
    assert!(matches!(
        attack(&outside, 0.1, &unit, &[1.0, 1.0]),
        Err(DataError::PixelRange { position: 1, .. })
    ));
    let attacked = attack(&clean, 0.1, &unit, &[1.0, 1.0]).unwrap();
    assert!(matches!(
        attack(&attacked, 0.1, &unit, &[1.0, 1.0]),
        Err(DataError::NotClean { .. })
    ));
    assert!(matches!(
        attack(&clean, 0.1, &unit, &[1.0, f32::NAN]),
        Err(DataError::GradientNotFinite { position: 1, .. })
    ));
    assert!(matches!(
        attack(&clean, 0.1, &unit, &[1.0]),
        Err(DataError::Count {
            expected: 2,
            got: 1,
            ..
        })
    ));
    assert!(matches!(
        pgd(&mut Linear(vec![1.0; 2]), &clean, linf(0.1, 0.1, 0), &unit),
        Err(DataError::AttackParameter {
            parameter: "steps",
            ..
        })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn attacks_stay_in_the_ball_and_in_the_box(
        pixels in prop::collection::vec(0.0_f32..=1.0, 12),
        weights in prop::collection::vec(-1.0_f32..1.0, 12),
        epsilon in 0.001_f32..0.5,
        seed in any::<u64>(),
        l2 in any::<bool>(),
    ) {
        let bounds = PixelBox {
            lower: vec![-2.1, -1.0, 0.0],
            upper: vec![2.2, 1.0, 3.0],
        };
        let clean = dataset(&[&bounds.inputs(&pixels, 12)]);
        let attack = Pgd {
            norm: if l2 { Norm::L2 } else { Norm::Linf },
            epsilon,
            step: epsilon / 2.0,
            steps: 4,
            seed: Some(seed),
        };
        let attacked = pgd(&mut Linear(weights), &clean, attack, &bounds).unwrap();
        let moved = bounds.pixels(&attacked.inputs, 12);
        let changes = moved.iter().zip(&pixels).map(|(a, b)| f64::from(a - b));
        let distance = if l2 {
            changes.map(|change| change * change).sum::<f64>().sqrt()
        } else {
            changes.map(f64::abs).fold(0.0, f64::max)
        };
        // Pixels pass through f32 inputs and back.
        prop_assert!(distance <= f64::from(epsilon) + 1e-5, "{distance} of {epsilon}");
        for (position, input) in attacked.inputs.iter().enumerate() {
            let channel = bounds.channel_of(position, 12);
            prop_assert!((bounds.lower[channel]..=bounds.upper[channel]).contains(input));
        }
    }
}
