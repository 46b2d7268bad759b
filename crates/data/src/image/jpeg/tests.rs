//! Files that are not what they should be, and the mathematics against its definition.

use proptest::prelude::*;

use super::error::Damage;
use super::inverse_dct::inverse_dct;
use super::*;

const LIMIT: u64 = 1 << 26;

/// A segment.
fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() + 2) as u16;
    [&[0xff, marker], &length.to_be_bytes()[..], body].concat()
}

/// A frame of `count` components of `sampling`, table 0.
fn frame(marker: u8, height: u16, width: u16, count: u8, sampling: u8) -> Vec<u8> {
    let [[y, y_low], [x, x_low]] = [height, width].map(u16::to_be_bytes);
    let mut body = vec![8, y, y_low, x, x_low, count];
    body.extend((1..=count).flat_map(|id| [id, sampling, 0]));
    segment(marker, &body)
}

/// The header of a scan of components `ids`.
fn scan(ids: &[u8], first: u8, last: u8, bits: u8) -> Vec<u8> {
    let mut body = vec![ids.len() as u8];
    body.extend(ids.iter().flat_map(|&id| [id, 0]));
    body.extend([first, last, bits]);
    segment(code::SOS, &body)
}

/// Quantisers of 1, and codes with one symbol, 0: no difference, end of block.
fn plain_tables() -> Vec<u8> {
    let quantisers = segment(code::DQT, &[&[0][..], &[1; 64]].concat());
    let one = |class: u8| {
        let mut counts = [0; 16];
        counts[0] = 1;
        segment(code::DHT, &[&[class][..], &counts, &[0]].concat())
    };
    [quantisers, one(0), one(0x10)].concat()
}

fn file(parts: &[Vec<u8>]) -> Vec<u8> {
    [&[0xff, code::SOI][..], &parts.concat(), &[0xff, code::EOI]].concat()
}

/// A grey picture of 8 x 8 pixels: one block of nothing.
fn grey(tables: Vec<u8>, frame: Vec<u8>, scan: Vec<u8>) -> Vec<u8> {
    file(&[tables, frame, scan, vec![0x3f]])
}

fn refused(file: &[u8]) -> String {
    decode(file, LIMIT).unwrap_err().to_string()
}

#[test]
fn a_block_of_nothing_is_grey() {
    let frame = frame(code::SOF0, 8, 8, 1, 0x11);
    let picture = decode(&grey(plain_tables(), frame, scan(&[1], 0, 63, 0)), LIMIT).unwrap();
    assert_eq!((picture.height, picture.width), (8, 8));
    assert_eq!(picture.rgb, [128; 192]);
}

#[test]
fn frames_that_cannot_be_are_refused_by_name() {
    let with = |frame: Vec<u8>| refused(&grey(plain_tables(), frame, scan(&[1], 0, 63, 0)));
    let cases = [
        (
            frame(code::SOF0, 8, 8, 1, 0x01),
            "expected sampling factors from 1 to 4, got 0 x 1",
        ),
        (
            frame(code::SOF0, 8, 8, 1, 0x10),
            "expected sampling factors from 1 to 4, got 1 x 0",
        ),
        (
            frame(code::SOF0, 8, 8, 1, 0x51),
            "expected sampling factors from 1 to 4, got 5 x 1",
        ),
        (
            frame(code::SOF0, 0, 8, 1, 0x11),
            "given after the first scan (DNL) is not supported",
        ),
        (
            frame(code::SOF0, 8, 0, 1, 0x11),
            "a picture of 8 x 0 pixels",
        ),
        (
            frame(code::SOF0, 65_000, 65_000, 1, 0x11),
            "a picture of 65000 x 65000 pixels",
        ),
        (
            frame(code::SOF0, 8000, 8000, 1, 0x11),
            "the file ends before",
        ),
        (
            frame(code::SOF2, 8000, 8000, 1, 0x11),
            "the file ends before",
        ),
        (
            frame(code::SOF0, 8, 8, 2, 0x11),
            "a picture of 2 components is not supported",
        ),
        (
            frame(code::SOF0, 8, 8, 0, 0x11),
            "a picture of 0 components is not supported",
        ),
        (
            frame(0xc3, 8, 8, 1, 0x11),
            "lossless coding (marker 0xc3) is not supported",
        ),
        (
            frame(0xc5, 8, 8, 1, 0x11),
            "hierarchical coding (marker 0xc5) is not supported",
        ),
        (
            frame(0xc9, 8, 8, 1, 0x11),
            "arithmetic coding (marker 0xc9) is not supported",
        ),
        (
            frame(0xca, 8, 8, 1, 0x11),
            "arithmetic coding (marker 0xca) is not supported",
        ),
        (
            frame(0xf7, 8, 8, 1, 0x11),
            "JPEG-LS (marker 0xf7) is not supported",
        ),
        (frame(0x55, 8, 8, 1, 0x11), "marker 0x55 is not supported"),
        (
            segment(code::SOF0, &[8, 0, 8]),
            "SOF segment at byte 115: expected 6 bytes or more",
        ),
        (
            segment(code::SOF0, &[12, 0, 8, 0, 8, 1, 1, 17, 0]),
            "12-bit samples is not supported",
        ),
        (
            segment(code::SOF0, &[8, 0, 8, 0, 8, 1, 1, 17, 4]),
            "quantisation table 0 to 3, got 4",
        ),
        (
            segment(code::SOF0, &[8, 0, 8, 0, 8, 3, 1, 17, 0]),
            "3 bytes for each component, got 3",
        ),
        (vec![], "expected a frame first, got a scan or the end"),
        (
            frame(code::SOF0, 8, 8, 1, 0x11).repeat(2),
            "expected one frame, got another one",
        ),
        (
            vec![0xff, code::SOI],
            "expected one picture, got a second start of image",
        ),
        (
            vec![0xff, 0xe0, 0, 1],
            "expected a length of 2 or more, got 1",
        ),
        (
            vec![0xff, 0xe0, 0xff, 0xff],
            "the file ends before its end-of-image marker",
        ),
    ];
    for (frame, reason) in cases {
        let text = with(frame);
        assert!(text.contains(reason), "{text} for {reason}");
    }
    assert!(refused(b"\x89P").contains("expected a start-of-image marker (ff d8), got 89 50"));
    for short in [&[][..], &[0xff], &[0xff, 0xd8], &[0xff, 0xd8, 0xff]] {
        assert_eq!(decode(short, LIMIT), Err(JpegError::Truncated));
    }
}

#[test]
fn tables_that_cannot_be_are_refused_by_name() {
    let counts = |length: usize, count: u8| {
        let mut body = vec![0; 17];
        body[length] = count;
        body
    };
    let with_symbols = |mut body: Vec<u8>, count: usize| {
        body.extend(vec![0; count]);
        segment(code::DHT, &body)
    };
    let cases = [
        // All ones is no code, nor are three codes of one bit.
        (
            with_symbols(counts(1, 2), 2),
            "expected numbers of codes that fit their lengths",
        ),
        (
            with_symbols(counts(1, 3), 3),
            "expected numbers of codes that fit their lengths",
        ),
        (
            with_symbols(counts(3, 255), 255),
            "expected numbers of codes that fit their lengths",
        ),
        (
            with_symbols(counts(8, 9), 8),
            "expected a symbol for every code, got 8",
        ),
        (
            with_symbols([&[0][..], &[255; 16]].concat(), 0),
            "at most 256 codes, got 4080",
        ),
        (
            segment(code::DHT, &[0; 16]),
            "expected 16 numbers of codes, got 15",
        ),
        (
            segment(code::DHT, &[[4].as_slice(), &[0; 16]].concat()),
            "table 0 to 3, got 4",
        ),
        (
            segment(code::DHT, &[[0x20].as_slice(), &[0; 16]].concat()),
            "class 0 or 1, got 2",
        ),
        (
            segment(code::DHT, &[counts(4, 1), vec![16]].concat()),
            "expected DC differences of at most 15 bits, got 16",
        ),
        (
            segment(code::DQT, &[0; 65]),
            "expected quantisers above 0, got 0 at position 0",
        ),
        (
            segment(code::DQT, &[1; 64]),
            "expected 64 quantisers, got 63",
        ),
        (
            segment(code::DQT, &[0x11; 128]),
            "expected 64 quantisers, got 127",
        ),
        (segment(code::DQT, &[5; 65]), "expected table 0 to 3, got 5"),
        (segment(code::DRI, &[0]), "expected 2 bytes, got 1"),
    ];
    for (tables, reason) in cases {
        let file = grey(
            tables,
            frame(code::SOF0, 8, 8, 1, 0x11),
            scan(&[1], 0, 63, 0),
        );
        let text = refused(&file);
        assert!(text.contains(reason), "{text} for {reason}");
    }
}

#[test]
fn scans_that_cannot_be_are_refused_by_name() {
    let sequential = |scan: Vec<u8>| (code::SOF0, scan);
    let progressive = |scan: Vec<u8>| (code::SOF2, scan);
    let whole = [scan(&[1], 0, 63, 0), vec![0x3f]].concat();
    let constants = [scan(&[1], 0, 0, 1), vec![0x7f]].concat();
    let again = |scan: Vec<u8>| [constants.clone(), scan].concat();
    let cases = [
        (
            sequential(scan(&[], 0, 63, 0)),
            "expected 1 to 4 components, got 0",
        ),
        (
            sequential(scan(&[1; 5], 0, 63, 0)),
            "expected 1 to 4 components, got 5",
        ),
        (
            sequential(scan(&[2], 0, 63, 0)),
            "expected a component of the frame, got 2",
        ),
        (
            sequential(scan(&[1, 1], 0, 63, 0)),
            "expected a component of the frame, got 1",
        ),
        (
            sequential(segment(code::SOS, &[1, 1, 0])),
            "2 bytes for each component and 4 more",
        ),
        (
            sequential(segment(code::SOS, &[1, 1, 0x40, 0, 63, 0])),
            "Huffman tables 0 to 3, got 4",
        ),
        (
            sequential(segment(code::SOS, &[1, 1, 0x20, 0, 63, 0])),
            "got no table 2",
        ),
        (
            sequential(whole.repeat(2)),
            "every component in one scan, got another scan of one",
        ),
        (sequential(vec![]), "component 1: no scan brought it"),
        (progressive(vec![]), "component 1: no scan brought it"),
        (
            progressive(scan(&[1], 0, 63, 0)),
            "coefficient 0 alone, or a band from 1 to 63",
        ),
        (
            progressive(scan(&[1], 5, 4, 0)),
            "coefficient 0 alone, or a band from 1 to 63",
        ),
        (
            progressive(scan(&[1], 5, 64, 0)),
            "coefficient 0 alone, or a band from 1 to 63",
        ),
        (
            progressive(scan(&[1], 0, 0, 14)),
            "one bit more, or bits down to at most 13",
        ),
        (
            progressive(scan(&[1], 0, 0, 0x31)),
            "one bit more, or bits down to at most 13",
        ),
        (
            progressive(scan(&[1], 0, 0, 0x10)),
            "known down to bit 1 where it is not known yet",
        ),
        (
            progressive(constants.repeat(2000)),
            "not known yet where it is known down to bit 1",
        ),
        (
            progressive(again(scan(&[1], 0, 0, 0x21))),
            "bit 2 where it is known down to bit 1",
        ),
        (
            progressive(scan(&[1], 1, 63, 0)),
            "component 1: no scan brought its constant",
        ),
        (
            progressive(again(vec![])),
            "first ten coefficients are missing",
        ),
    ];
    for ((marker, scans), reason) in cases {
        let scans = [scans, vec![0x7f]].concat();
        let text = refused(&file(&[
            plain_tables(),
            frame(marker, 8, 8, 1, 0x11),
            scans,
        ]));
        assert!(text.contains(reason), "{text} for {reason}");
    }
}

#[test]
fn scans_without_end_are_refused() {
    let constants = [scan(&[1, 2, 3], 0, 0, 0), vec![0x1f]].concat();
    let mut scans = Vec::new();
    for (id, k) in (1..=3).flat_map(|id| (1..64).map(move |k| (id, k))) {
        for low in (0..=2).rev() {
            let bits = if low == 2 { 2 } else { 16 * (low + 1) + low };
            scans.push([scan(&[id], k, k, bits), vec![0x7f]].concat());
        }
    }
    let with = |count: usize| {
        let frame = frame(code::SOF2, 8, 8, 3, 0x11);
        file(&[
            plain_tables(),
            frame,
            constants.clone(),
            scans[..count].concat(),
        ])
    };
    assert_eq!(
        refused(&with(MAX_SCANS)),
        format!("more than {MAX_SCANS} scans")
    );
    assert!(decode(&with(MAX_SCANS - 1), LIMIT).is_ok());
}

#[test]
fn compressed_data_that_no_encoder_writes_are_refused() {
    let sequential = |data: &[u8]| {
        let frame = frame(code::SOF0, 8, 24, 1, 0x11);
        let interval = segment(code::DRI, &[0, 1]);
        let scan = scan(&[1], 0, 63, 0);
        file(&[plain_tables(), interval, frame, scan, data.to_vec()])
    };
    let damage = |data: &[u8]| match decode(&sequential(data), LIMIT).unwrap_err() {
        JpegError::Scan { scan, unit, damage } => (scan, unit, damage),
        error => panic!("{error}"),
    };
    assert!(
        decode(
            &sequential(&[0x3f, 0xff, 0xd0, 0x3f, 0xff, 0xd1, 0x3f]),
            LIMIT
        )
        .is_ok()
    );
    assert_eq!(damage(&[0x80]), (1, 0, Damage::Code));
    assert_eq!(damage(&[]), (1, 0, Damage::Early));
    let (expected, got) = (0, 0xd9);
    assert_eq!(damage(&[0x3f]), (1, 1, Damage::Restart { expected, got }));
    let (expected, got) = (1, 0xd0);
    let twice = [0x3f, 0xff, 0xd0, 0x3f, 0xff, 0xd0, 0x3f];
    assert_eq!(damage(&twice), (1, 2, Damage::Restart { expected, got }));
}

/// The definition in T.81, A.3.3.
fn defined(block: &[i16; 64]) -> [f64; 64] {
    let scale = |k: usize| if k == 0 { 0.5_f64.sqrt() } else { 1.0 };
    let wave = |x: usize, u: usize| {
        scale(u) * (((2 * x + 1) * u) as f64 * std::f64::consts::PI / 16.0).cos() / 2.0
    };
    std::array::from_fn(|i| {
        let term = |k: usize| wave(i % 8, k % 8) * wave(i / 8, k / 8) * f64::from(block[k]);
        (128.0 + (0..64).map(term).sum::<f64>()).clamp(0.0, 255.0)
    })
}

proptest! {
    #[test]
    fn samples_are_those_of_the_cosine_transform(
        coefficients in proptest::collection::vec(-300_i16..300, 64),
        kept in 1_usize..64,
    ) {
        let block = std::array::from_fn(|k| if k < kept { coefficients[k] } else { 0 });
        let mut samples = [0; 64];
        inverse_dct(&block, &mut samples, 8);
        for (ours, exact) in samples.into_iter().zip(defined(&block)) {
            // Half a level of the last rounding, and a little of the first and of the constants.
            prop_assert!((f64::from(ours) - exact).abs() < 0.8, "{ours} against {exact}");
        }
    }

    #[test]
    fn extreme_coefficients_do_not_overflow(seed in proptest::collection::vec(0_u8..4, 64)) {
        let extreme = |k: usize| [i16::MIN, i16::MAX, -1, 0][usize::from(seed[k])];
        inverse_dct(&std::array::from_fn(extreme), &mut [0; 64], 8);
    }
}

#[test]
fn the_worst_coefficients_do_not_overflow() {
    // Signs that add up in the largest intermediate value, in both directions.
    for (i, j) in (0..256_u32).flat_map(|i| (0..256_u32).map(move |j| (i, j))) {
        let sign = |bits: u32, k: usize| {
            if bits >> k & 1 == 1 {
                i16::MIN
            } else {
                i16::MAX
            }
        };
        let block = std::array::from_fn(|k| {
            if sign(i, k % 8) == sign(j, k / 8) {
                i16::MIN
            } else {
                i16::MAX
            }
        });
        inverse_dct(&block, &mut [0; 64], 8);
    }
}

#[test]
fn pixels_between_samples_are_interpolated() {
    let samples = |values: &[u8]| {
        let mut plane = Plane::new(1, 1);
        plane.samples[..values.len()].copy_from_slice(values);
        plane
    };
    let component = |across: u8, down: u8, width: u16, height: u16| {
        let body = [
            &[8][..],
            &height.to_be_bytes(),
            &width.to_be_bytes(),
            &[3, 1, 16 * across + down, 0, 2, 0x11, 0, 3, 0x11, 0],
        ]
        .concat();
        let segment = Segment {
            marker: code::SOF0,
            at: 0,
            body: &body,
        };
        let frame = Frame::read(&segment).unwrap();
        let part = frame.components[1].clone();
        (frame, part)
    };
    let (frame, part) = component(2, 1, 5, 1);
    let mut across = Upsampler::new(&frame, &part, samples(&[0, 100, 9]));
    assert_eq!(across.row(0), [0, 25, 75, 77, 32, 9]);
    // Of two columns or fewer, samples are repeated.
    let (frame, part) = component(2, 1, 4, 1);
    let mut narrow = Upsampler::new(&frame, &part, samples(&[0, 100]));
    assert_eq!(narrow.row(0), [0, 0, 100, 100]);
    // Rows are not: 1 x 3 pixels of two rows of samples.
    let (frame, part) = component(1, 2, 1, 3);
    let mut plane = samples(&[10]);
    plane.samples[8] = 21;
    let mut down = Upsampler::new(&frame, &part, plane);
    let rows: Vec<u8> = (0..3).map(|y| down.row(y)[0]).collect();
    assert_eq!(rows, [10, 13, 18]);
    let (frame, part) = component(4, 1, 6, 1);
    let mut repeated = Upsampler::new(&frame, &part, samples(&[3, 4]));
    assert_eq!(repeated.row(0), [3, 3, 3, 3, 4, 4, 4, 4]);
}

#[test]
fn colors_are_those_of_jfif_and_of_inverted_inks() {
    let mut rgb = [0; 3];
    for (y, cb, cr) in (0..=255).step_by(17).flat_map(|y| {
        (0..=255)
            .step_by(15)
            .flat_map(move |cb| (0..=255).step_by(5).map(move |cr| (y, cb, cr)))
    }) {
        ColorSpace::YCbCr.convert(&[&[y], &[cb], &[cr]], &mut rgb);
        let [y, cb, cr] = [f64::from(y), f64::from(cb) - 128.0, f64::from(cr) - 128.0];
        let exact = [
            y + 1.402 * cr,
            y - 0.344_136 * cb - 0.714_136 * cr,
            y + 1.772 * cb,
        ];
        for (ours, exact) in rgb.into_iter().zip(exact) {
            let error = f64::from(ours) - exact.clamp(0.0, 255.0);
            assert!(error.abs() <= 0.51, "{y} {cb} {cr}: {ours} against {exact}");
        }
    }
    // Half of the cyan, no other ink; then black.
    ColorSpace::Cmyk.convert(&[&[128], &[255], &[255], &[255]], &mut rgb);
    assert_eq!(rgb, [128, 255, 255]);
    ColorSpace::Cmyk.convert(&[&[128], &[255], &[255], &[0]], &mut rgb);
    assert_eq!(rgb, [0; 3]);
    ColorSpace::Ycck.convert(&[&[0], &[128], &[128], &[200]], &mut rgb);
    assert_eq!(rgb, [200; 3]);
}
