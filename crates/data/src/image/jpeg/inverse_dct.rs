//! The inverse cosine transform, as libjpeg's accurate integer method rounds it.
//!
//! A block of coefficients `F` becomes samples (T.81, A.3.3)
//!
//! ```text
//! f(y, x) = 128 + 1/4 Σ_v Σ_u  C_u C_v F(v, u) cos((2x + 1) u π / 16) cos((2y + 1) v π / 16),
//! C_0 = 1/√2,  C_k = 1 otherwise.
//! ```
//!
//! It is done for columns, then for rows. With `c_k = √2 cos(k π / 16)` eight frequencies become eight
//! values, each `√8` times the orthonormal transform's (Loeffler, Ligtenberg & Moschytz, ICASSP 1989):
//!
//! ```text
//! e_0, e_3 = F_0 + F_4 ± (c_2 F_2 + c_6 F_6)        f_k     = e_k + o_k
//! e_1, e_2 = F_0 - F_4 ± (c_6 F_2 - c_2 F_6)        f_{7-k} = e_k - o_k
//! o_0 = c_1 F_1 + c_3 F_3 + c_5 F_5 + c_7 F_7       o_2 = c_5 F_1 - c_1 F_3 + c_7 F_5 + c_3 F_7
//! o_1 = c_3 F_1 - c_7 F_3 - c_1 F_5 - c_5 F_7       o_3 = c_7 F_1 - c_5 F_3 + c_3 F_5 - c_1 F_7
//! ```
//!
//! Constants have 13 fractional bits. The odd part is computed from `a = F_3 + F_7`, `b = F_1 + F_5` and
//! the frequencies, so its constants are differences of rounded ones: `c_1` of `F_1`, say, is that of
//! `F_1` alone, less that of `c_3 - c_7`, plus those of `b`. All of it is exact until fractional bits
//! are shifted out, halves rounded up: two are kept after the columns, none after the rows, where the
//! three bits of `√8 √8` go with them.
//!
//! Sums and results between the passes have 16 bits, as in libjpeg-turbo's vector instructions on
//! x86-64: sums wrap and results saturate. No picture comes near, only damaged ones do, and this makes
//! them equal too. With 16 bits at the entrance of a pass, 32 bits hold every intermediate value.

use super::frame::SIDE;

/// Fractional bits of constants.
const FRACTION: u32 = 13;
/// Fractional bits between the passes.
const KEPT: u32 = 2;

/// `c_6`.
const C6: i32 = constant(0.541_196_100);
/// `c_2 - c_6`.
const C2_LESS_C6: i32 = constant(0.765_366_865);
/// `c_2 + c_6`.
const C2_PLUS_C6: i32 = constant(1.847_759_065);
/// `c_3`.
const C3: i32 = constant(1.175_875_602);
/// `c_3 + c_5`.
const C3_PLUS_C5: i32 = constant(1.961_570_560);
/// `c_3 - c_5`.
const C3_LESS_C5: i32 = constant(0.390_180_644);
/// `c_3 - c_7`.
const C3_LESS_C7: i32 = constant(0.899_976_223);
/// `c_1 + c_3`.
const C1_PLUS_C3: i32 = constant(2.562_915_447);
/// `-c_1 + c_3 + c_5 - c_7`.
const F7_ALONE: i32 = constant(0.298_631_336);
/// `c_1 + c_3 - c_5 + c_7`.
const F5_ALONE: i32 = constant(2.053_119_869);
/// `c_1 + c_3 + c_5 - c_7`.
const F3_ALONE: i32 = constant(3.072_711_026);
/// `c_1 + c_3 - c_5 - c_7`.
const F1_ALONE: i32 = constant(1.501_321_110);

const fn constant(value: f64) -> i32 {
    (value * (1 << FRACTION) as f64 + 0.5) as i32
}

/// Writes the samples of a block of dequantised coefficients, row by row, to eight rows of `out`, which
/// are `stride` samples apart.
pub(super) fn inverse_dct(block: &[i16; SIDE * SIDE], out: &mut [u8], stride: usize) {
    let mut columns = [0_i16; SIDE * SIDE];
    if block[SIDE..].iter().all(|&coefficient| coefficient == 0) {
        for row in columns.chunks_exact_mut(SIDE) {
            for (value, &coefficient) in row.iter_mut().zip(block) {
                *value = coefficient << KEPT;
            }
        }
    } else {
        for x in 0..SIDE {
            let column: [i16; SIDE] = std::array::from_fn(|v| block[v * SIDE + x]);
            let values = transform(column).map(|value| round(value, FRACTION - KEPT));
            for (y, value) in values.into_iter().enumerate() {
                columns[y * SIDE + x] = saturated(value);
            }
        }
    }
    for (row, out) in columns.chunks_exact(SIDE).zip(out.chunks_mut(stride)) {
        let row: [i16; SIDE] = std::array::from_fn(|u| row[u]);
        let values = transform(row).map(|value| round(value, FRACTION + KEPT + 3));
        for (out, value) in out.iter_mut().zip(values) {
            *out = (value + 128).clamp(0, 255) as u8;
        }
    }
}

/// Eight values of `FRACTION` more fractional bits than the frequencies have.
#[inline(always)]
fn transform(f: [i16; SIDE]) -> [i32; SIDE] {
    let [f0, f1, f2, f3, f4, f5, f6, f7] = f;
    if [f1, f2, f3, f4, f5, f6, f7] == [0; SIDE - 1] {
        return [i32::from(f0) << FRACTION; SIDE];
    }
    let (sum, difference) = (f0.wrapping_add(f4), f0.wrapping_sub(f4));
    let (sum, difference) = (
        i32::from(sum) << FRACTION,
        i32::from(difference) << FRACTION,
    );
    let (a, b) = (f3.wrapping_add(f7).into(), f1.wrapping_add(f5).into());
    let [f1, f2, f3, f5, f6, f7] = [f1, f2, f3, f5, f6, f7].map(i32::from);

    let inner = f2 * C6 + f6 * (C6 - C2_PLUS_C6);
    let outer = f2 * (C6 + C2_LESS_C6) + f6 * C6;
    let even = [
        sum + outer,
        difference + inner,
        difference - inner,
        sum - outer,
    ];

    let (a, b): (i32, i32) = (a, b);
    let with_a = a * (C3 - C3_PLUS_C5) + b * C3;
    let with_b = a * C3 + b * (C3 - C3_LESS_C5);
    let odd = [
        f1 * (F1_ALONE - C3_LESS_C7) - f7 * C3_LESS_C7 + with_b,
        f3 * (F3_ALONE - C1_PLUS_C3) - f5 * C1_PLUS_C3 + with_a,
        f5 * (F5_ALONE - C1_PLUS_C3) - f3 * C1_PLUS_C3 + with_b,
        f7 * (F7_ALONE - C3_LESS_C7) - f1 * C3_LESS_C7 + with_a,
    ];
    [
        even[0] + odd[0],
        even[1] + odd[1],
        even[2] + odd[2],
        even[3] + odd[3],
        even[3] - odd[3],
        even[2] - odd[2],
        even[1] - odd[1],
        even[0] - odd[0],
    ]
}

/// Without its lowest `bits`, halves rounded up.
#[inline(always)]
fn round(value: i32, bits: u32) -> i32 {
    (value + (1 << (bits - 1))) >> bits
}

#[inline(always)]
fn saturated(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}
