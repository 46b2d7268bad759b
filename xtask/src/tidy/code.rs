//! Rust source without comments, literals and tests, line for line.

/// The code outside tests: comments and the contents of literals become spaces, and items under
/// `#[cfg(test)]` become empty lines.
pub(super) fn library_code(source: &str) -> String {
    without_tests(&without_literals(source))
}

/// Where `pattern` occurs in `code` as a whole word: line numbers from 1.
pub(super) fn lines_with(code: &str, pattern: &str) -> Vec<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let begins_word = pattern.starts_with(is_word);
    let ends_word = pattern.ends_with(is_word);
    let occurs = |line: &str| {
        line.match_indices(pattern).any(|(start, _)| {
            let before = line[..start].chars().next_back().is_some_and(is_word);
            let after = line[start + pattern.len()..]
                .chars()
                .next()
                .is_some_and(is_word);
            let continues = (before && begins_word) || (after && ends_word);
            !continues
        })
    };
    (1..)
        .zip(code.lines())
        .filter(|(_, line)| occurs(line))
        .map(|(number, _)| number)
        .collect()
}

/// Spaces in place of comments and of the contents of strings and characters.
fn without_literals(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    let mut in_word = false;
    while let Some(first) = rest.chars().next() {
        // A raw string's or byte string's prefix stands at the beginning of a word.
        let length = if in_word && first != '"' {
            None
        } else {
            literal(rest)
        };
        let (taken, blank) = match length {
            Some(length) => (length, true),
            None => (first.len_utf8(), false),
        };
        if blank {
            code.extend(
                rest[..taken]
                    .chars()
                    .map(|c| if c == '\n' { '\n' } else { ' ' }),
            );
        } else {
            code.push(first);
        }
        in_word = !blank && (first.is_alphanumeric() || first == '_');
        rest = &rest[taken..];
    }
    code
}

/// Length in bytes of the comment or literal that `source` begins with.
fn literal(source: &str) -> Option<usize> {
    if source.starts_with("//") {
        return Some(source.find('\n').unwrap_or(source.len()));
    }
    if source.starts_with("/*") {
        return Some(block_comment(source));
    }
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        let after = source.strip_prefix(prefix).unwrap_or_default();
        let hashes = if prefix.ends_with('r') { "#" } else { "" };
        after
            .trim_start_matches(|c| hashes.contains(c))
            .starts_with('"')
            && source.starts_with(prefix)
    });
    if let Some(prefix) = prefix {
        let after = &source[prefix.len()..];
        if prefix.ends_with('r') {
            let hashes = after.len() - after.trim_start_matches('#').len();
            let end = format!("\"{}", "#".repeat(hashes));
            let body = &after[hashes + 1..];
            let length = body.find(&end).map_or(body.len(), |at| at + end.len());
            return Some(prefix.len() + hashes + 1 + length);
        }
        return Some(prefix.len() + 1 + until_quote(&after[1..], '"'));
    }
    let after = source.strip_prefix('\'')?;
    let mut characters = after.chars();
    let (first, second) = (characters.next()?, characters.next()?);
    // Otherwise it is a lifetime.
    (first == '\\' || second == '\'').then(|| 1 + until_quote(after, '\''))
}

/// Length up to and with the first `quote` that no backslash escapes.
fn until_quote(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if !escaped && c == quote {
            return at + c.len_utf8();
        }
        escaped = !escaped && c == '\\';
    }
    body.len()
}

/// Length of a block comment, which may hold others.
fn block_comment(source: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < source.len() {
        match source.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    source.len()
}

/// Empty lines in place of items under `#[cfg(test)]`, as rustfmt lays them out: an item ends on its
/// first line with `;` or `}`, or on the line that closes it at its own indentation.
fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let indent = &line[..line.len() - line.trim_start().len()];
            let close = format!("{indent}}}");
            let mut begun = false;
            kept.push('\n');
            for line in lines.by_ref() {
                kept.push('\n');
                let attribute = line.trim().starts_with('#') || line.trim().is_empty();
                let whole = line.trim_end().ends_with([';', '}']);
                if line.starts_with(&close) || (!begun && !attribute && whole) {
                    break;
                }
                begun |= !attribute;
            }
        } else {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank() {
        for hidden in [
            "// dbg!()",
            "/* dbg!() /* dbg!() */ dbg!() */",
            "\"dbg!()\"",
            "\"\\\"dbg!()\"",
            "r\"dbg!()\\\"",
            "r#\"\"dbg!()\"#",
            "b\"dbg!()\"",
            "br##\"\"# dbg!()\"##",
        ] {
            let code = without_literals(&format!("a {hidden}\nb"));
            assert!(
                !code.contains("dbg") && code.ends_with("\nb"),
                "{hidden}: {code}"
            );
        }
    }

    #[test]
    fn code_between_literals_stays() {
        for source in [
            "x('\"', dbg!(), '\"')",
            "f::<'a>(dbg!(), 'b')",
            "x('\\'', dbg!(), '\\'')",
            "var(r, dbg!(), \"\")",
            "f(\"\\\\\", dbg!())",
        ] {
            assert!(without_literals(source).contains("dbg!()"), "{source}");
        }
    }

    #[test]
    fn test_items_are_empty_and_the_code_after_them_stays() {
        let source = "a();\n#[cfg(test)]\nmod tests {\n    b();\n}\nc();\n#[cfg(test)]\nmod d;\ne();\n\
                      impl F {\n    #[cfg(test)]\n    fn g() {\n        h();\n    }\n    i();\n}\n";
        let code = library_code(source);
        assert_eq!(code.lines().count(), source.lines().count());
        for kept in ["a();", "c();", "e();", "i();"] {
            assert!(code.contains(kept), "{kept}: {code}");
        }
        for dropped in ["b();", "mod d", "h();"] {
            assert!(!code.contains(dropped), "{dropped}: {code}");
        }
    }

    #[test]
    fn a_word_is_matched_whole() {
        let code = "eprintln!()\nprintln!()\nureq_like::f()\nureq::get()\n";
        assert_eq!(lines_with(code, "println!"), [2]);
        assert_eq!(lines_with(code, "ureq"), [4]);
        assert_eq!(lines_with("x.unwrap()\n", ".unwrap()"), [1]);
    }
}
