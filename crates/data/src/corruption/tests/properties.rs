//! What every corruption keeps, for pictures of any size and number of channels.

use proptest::prelude::*;

use super::super::*;

/// One picture whose values are `levels`, repeated as often as needed.
fn picture(shape: [usize; 3], levels: &[u8]) -> Dataset {
    let values = levels.iter().cycle().take(shape.iter().product());
    Dataset::new(
        shape.to_vec(),
        values.map(|&level| f32::from(level) / 255.0).collect(),
        vec![0],
        1,
        vec![ExampleId::clean("drawn", 7)],
    )
    .unwrap()
}

/// A photograph-like scene: a gradient, a disk and a stripe in other colours.
fn scene(count: u32, side: usize) -> Dataset {
    let pixel = |image: usize, i: usize| {
        let (channel, y, x) = (i / side / side, i / side % side, i % side);
        let (down, right) = (y as f32 / side as f32, x as f32 / side as f32);
        let disk = (down - 0.4).powi(2) + (right - 0.5).powi(2) < 0.06;
        let stripe = (x + image) % side < side / 6;
        match (disk, stripe) {
            (true, _) => [0.9, 0.3, 0.2][channel],
            (_, true) => [0.1, 0.2, 0.6][channel],
            _ => 0.3 + 0.4 * down,
        }
    };
    let values =
        (0..count as usize).flat_map(|image| (0..3 * side * side).map(move |i| pixel(image, i)));
    Dataset::new(
        vec![3, side, side],
        values.collect(),
        vec![0; count as usize],
        1,
        (0..count).map(|i| ExampleId::clean("scene", i)).collect(),
    )
    .unwrap()
}

fn severity(level: u8) -> Option<Severity> {
    Some(Severity::try_from(level).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_picture_becomes_one_of_the_same_size_in_range(
        channels in 1_usize..5,
        height in 1_usize..40,
        width in 1_usize..40,
        levels in prop::collection::vec(any::<u8>(), 1..300),
        level in 1_u8..=5,
        seed in any::<u64>(),
    ) {
        let clean = picture([channels, height, width], &levels);
        for corruption in Corruption::ALL {
            let corrupted = corruption.corrupt(&clean, severity(level), seed).unwrap();
            corrupted.validate().unwrap();
            prop_assert_eq!(&corrupted.shape, &clean.shape);
            prop_assert!(corrupted.inputs.iter().all(|v| (0.0..=1.0).contains(v)), "{corruption}");
            prop_assert_eq!(corrupted.ids[0].image(), clean.ids[0].image());
            let again = corruption.corrupt(&clean, severity(level), seed).unwrap();
            prop_assert_eq!(again, corrupted);
        }
    }

    #[test]
    fn flat_pictures_stay_flat_without_noise(level in any::<u8>(), height in 1_usize..30, width in 1_usize..30) {
        let clean = picture([3, height, width], &[level]);
        let smooth = [
            Corruption::DefocusBlur,
            Corruption::GaussianBlur,
            Corruption::MotionBlur,
            Corruption::Contrast,
            Corruption::Pixelate,
        ];
        for corruption in smooth {
            let corrupted = corruption.corrupt(&clean, None, 0).unwrap();
            prop_assert_eq!(&corrupted.inputs, &clean.inputs, "{}", corruption);
        }
        let jpeg = Corruption::Jpeg.corrupt(&clean, None, 0).unwrap();
        prop_assert!(jpeg.inputs.iter().all(|&value| value == jpeg.inputs[0]));
    }
}

#[test]
fn each_severity_is_farther_from_the_original_than_the_one_before() {
    let clean = scene(6, 64);
    for corruption in Corruption::ALL {
        let distance = |level| {
            let corrupted = corruption.corrupt(&clean, severity(level), 0).unwrap();
            let pairs = corrupted.inputs.iter().zip(&clean.inputs);
            pairs.map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / clean.inputs.len() as f64
        };
        let distances: Vec<f64> = (1..=5).map(distance).collect();
        assert!(distances[0] > 0.0, "{corruption}");
        // Fog is as strong at severity 4 as at 3, and rougher: the distance stays within its noise.
        let slack = if corruption == Corruption::Fog {
            0.99
        } else {
            1.0
        };
        assert!(
            distances.is_sorted_by(|a, b| slack * a < *b),
            "{corruption}: {distances:?}"
        );
    }
}

#[test]
fn grey_pictures_of_three_channels_are_corrupted_like_grey_ones_where_channels_share() {
    let levels: Vec<u8> = (0..20 * 30).map(|i| (i * 7 % 251) as u8).collect();
    let grey = picture([1, 20, 30], &levels);
    let three = picture([3, 20, 30], &levels);
    let shared = [
        Corruption::Fog,
        Corruption::Brightness,
        Corruption::Rotate,
        Corruption::Translate,
        Corruption::DefocusBlur,
        Corruption::GaussianBlur,
        Corruption::MotionBlur,
        Corruption::Contrast,
        Corruption::Pixelate,
    ];
    for corruption in shared {
        let of = |clean| corruption.corrupt(clean, severity(2), 1).unwrap().inputs;
        assert_eq!(of(&three), of(&grey).repeat(3), "{corruption}");
    }
}

#[test]
fn brightness_keeps_the_hue() {
    let colour = |rgb: [u8; 3]| picture([3, 1, 1], &rgb);
    let bright = |rgb| {
        Corruption::Brightness
            .corrupt(&colour(rgb), severity(1), 0)
            .unwrap()
            .inputs
    };
    // 0.1 is 25.5 levels: value 102 becomes 127.5, and the other channels keep their share of it.
    let levels: Vec<f32> = bright([102, 51, 0])
        .iter()
        .map(|v| (v * 255.0).round())
        .collect();
    assert_eq!(levels, [128.0, 64.0, 0.0]);
    assert_eq!(bright([0, 0, 0]), [26.0 / 255.0; 3]);
    assert_eq!(bright([255, 128, 0]), colour([255, 128, 0]).inputs);
}

#[test]
fn impulse_noise_replaces_its_share_by_black_and_white() {
    let clean = picture([3, 100, 100], &[100]);
    for (level, share) in [(1, 0.03), (5, 0.27)] {
        let noisy = Corruption::ImpulseNoise
            .corrupt(&clean, severity(level), 0)
            .unwrap();
        let count = |value: f32| noisy.inputs.iter().filter(|&&v| v == value).count() as f64;
        let (black, white) = (count(0.0) / 30_000.0, count(1.0) / 30_000.0);
        // Five standard errors of a share of 30,000 values.
        let error = 5.0 * (share / 2.0 / 30_000.0_f64).sqrt();
        assert!((black - share / 2.0).abs() < error && (white - share / 2.0).abs() < error);
        assert_eq!(count(100.0 / 255.0) + count(0.0) + count(1.0), 30_000.0);
    }
}

#[test]
fn a_haze_covers_pictures_larger_than_its_torus() {
    let clean = picture([1, 3, 300], &[200]);
    let foggy = Corruption::Fog.corrupt(&clean, None, 0).unwrap();
    let distinct: std::collections::BTreeSet<u32> =
        foggy.inputs.iter().map(|v| v.to_bits()).collect();
    assert!(distinct.len() > 10);
    let sliver = picture([1, 1, 10_000], &[200]);
    let foggy = Corruption::Fog.corrupt(&sliver, None, 0).unwrap();
    assert_eq!(foggy.inputs[..100], foggy.inputs[4096..4196]);
}

#[test]
fn slivers_and_pictures_without_pixels_are_handled() {
    let empty = Dataset {
        shape: vec![3, 0, 5],
        inputs: vec![],
        ..picture([1, 1, 1], &[0])
    };
    for corruption in Corruption::ALL {
        let result = corruption.corrupt(&empty, None, 0);
        assert!(
            matches!(result, Err(DataError::NotAnImage { .. })),
            "{corruption}"
        );
    }
}
