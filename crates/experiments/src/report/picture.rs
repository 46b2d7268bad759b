//! Grey pictures as PNG data in the page itself.

use crate::error::{ExperimentError, Result};
use crate::record::Example;

/// The example's pixels as a `data:` address of a PNG; `None` if the pixels do not fill its rows.
///
/// # Errors
/// [`ExperimentError::Encode`] if the encoder fails.
pub(crate) fn data_address(example: &Example) -> Result<Option<String>> {
    let length = example.pixels.len();
    let width = example.width as usize;
    if width == 0 || length == 0 || !length.is_multiple_of(width) {
        return Ok(None);
    }
    let encode = |source: png::EncodingError| ExperimentError::Encode {
        what: format!("the picture {}", example.id),
        source: Box::new(source),
    };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, example.width, (length / width) as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(encode)?;
    writer.write_image_data(&example.pixels).map_err(encode)?;
    writer.finish().map_err(encode)?;
    Ok(Some(format!("data:image/png;base64,{}", base64(&bytes))))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            if position <= chunk.len() {
                let digit = group >> (18 - 6 * position) & 63;
                text.push(char::from(DIGITS[digit as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_test_vectors_of_its_specification() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, coded) in vectors {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn pixels_that_do_not_fill_their_rows_have_no_picture() {
        let mut example = Example {
            id: "0".to_owned(),
            split: "repair".to_owned(),
            width: 3,
            pixels: vec![0, 128, 255],
            label: 1,
            before: 2,
            after: 1,
        };
        let address = data_address(&example).unwrap().unwrap();
        assert!(address.starts_with("data:image/png;base64,iVBORw0KGgo"));
        example.pixels.push(1);
        assert_eq!(data_address(&example).unwrap(), None);
        example.width = 0;
        assert_eq!(data_address(&example).unwrap(), None);
    }
}
