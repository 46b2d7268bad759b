//! Stored floats to and from f64; other element types have no numbers here.

use half::{bf16, f16};
use safetensors::Dtype;

/// The numbers of a float tensor, each exact.
pub(crate) fn decode(data: &[u8], dtype: Dtype) -> Option<Vec<f64>> {
    Some(match dtype {
        Dtype::F16 => each(data, f16_to_f64).collect(),
        Dtype::BF16 => each(data, bf16_to_f64).collect(),
        Dtype::F32 => each(data, f32_to_f64).collect(),
        Dtype::F64 => each(data, f64::from_le_bytes).collect(),
        _ => return None,
    })
}

/// The numbers of a float tensor, rounded to f32 where they are wider.
pub(crate) fn decode_f32(data: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F16 => each(data, |b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::BF16 => each(data, |b| bf16::from_le_bytes(b).to_f32()).collect(),
        Dtype::F32 => each(data, f32::from_le_bytes).collect(),
        Dtype::F64 => each(data, |b| f64::from_le_bytes(b) as f32).collect(),
        _ => return None,
    })
}

/// The bytes of a float tensor, each number rounded to nearest.
pub(crate) fn encode(numbers: &[f64], dtype: Dtype) -> Option<Vec<u8>> {
    fn all<const N: usize>(numbers: &[f64], one: impl Fn(f64) -> [u8; N]) -> Vec<u8> {
        numbers.iter().flat_map(|&x| one(x)).collect()
    }
    Some(match dtype {
        Dtype::F16 => all(numbers, |x| f16::from_f64(x).to_le_bytes()),
        Dtype::BF16 => all(numbers, |x| bf16::from_f64(x).to_le_bytes()),
        Dtype::F32 => all(numbers, |x| (x as f32).to_le_bytes()),
        Dtype::F64 => all(numbers, f64::to_le_bytes),
        _ => return None,
    })
}

/// Position and value of the first number that is NaN or infinite.
pub(crate) fn not_finite(data: &[u8], dtype: Dtype) -> Option<(usize, f64)> {
    fn first(numbers: impl Iterator<Item = f64>) -> Option<(usize, f64)> {
        numbers.enumerate().find(|(_, x)| !x.is_finite())
    }
    match dtype {
        Dtype::F16 => first(each(data, f16_to_f64)),
        Dtype::BF16 => first(each(data, bf16_to_f64)),
        Dtype::F32 => first(each(data, f32_to_f64)),
        Dtype::F64 => first(each(data, f64::from_le_bytes)),
        _ => None,
    }
}

fn each<const N: usize, T>(data: &[u8], one: fn([u8; N]) -> T) -> impl Iterator<Item = T> {
    data.as_chunks::<N>().0.iter().map(move |chunk| one(*chunk))
}

fn f16_to_f64(bytes: [u8; 2]) -> f64 {
    f16::from_le_bytes(bytes).to_f64()
}

fn bf16_to_f64(bytes: [u8; 2]) -> f64 {
    bf16::from_le_bytes(bytes).to_f64()
}

fn f32_to_f64(bytes: [u8; 4]) -> f64 {
    f64::from(f32::from_le_bytes(bytes))
}
