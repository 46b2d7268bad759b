//! The strings of pickle protocol 0, which are Python source.

/// The bytes of a quoted string of Python 2: `'a\n\x00'`.
pub(super) fn quoted(line: &[u8]) -> Result<Vec<u8>, String> {
    let line = line.trim_ascii();
    let inner = [b"'", b"\""].iter().find_map(|&quote| {
        let inner = line.strip_prefix(quote)?;
        inner.strip_suffix(quote)
    });
    let mut rest = inner.ok_or("a string has no quotes")?;
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let [kind, after @ ..] = rest else {
            return Err("a string ends in a backslash".to_owned());
        };
        rest = after;
        match kind {
            b'\\' | b'\'' | b'"' => bytes.push(*kind),
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'x' => {
                let (digits, after) = rest.split_at_checked(2).ok_or_else(bad_escape)?;
                bytes.push(hexadecimal(digits).ok_or_else(bad_escape)? as u8);
                rest = after;
            }
            other => bytes.extend([b'\\', *other]),
        }
    }
    Ok(bytes)
}

/// A string in Python's `raw-unicode-escape`: Latin-1, in which `\u0041` and `\U00000041` are
/// letters too. Picklers write a backslash itself as `\u005c`.
pub(super) fn raw_unicode(line: &[u8]) -> Result<String, String> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let [first, after @ ..] = rest {
        rest = after;
        let width = match (first, rest.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(char::from(*first));
                continue;
            }
        };
        let digits = rest.get(1..=width).ok_or_else(bad_escape)?;
        let letter = hexadecimal(digits).and_then(char::from_u32);
        text.push(letter.ok_or_else(bad_escape)?);
        rest = &rest[width + 1..];
    }
    Ok(text)
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |number, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(number << 4 | digit)
    })
}

fn bad_escape() -> String {
    "a string has an escape without its digits".to_owned()
}

#[cfg(test)]
mod tests;
