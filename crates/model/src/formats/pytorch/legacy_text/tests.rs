use super::*;

#[test]
fn escapes_are_read_as_python_does() {
    assert_eq!(quoted(br"'a\'\x41\\n\n'").unwrap(), b"a'A\\n\n");
    assert_eq!(quoted(b"\"it's\"").unwrap(), b"it's");
    assert_eq!(raw_unicode(br"a\u0042\u005cu").unwrap(), r"aB\u");
    assert_eq!(
        raw_unicode(b"\xe9\\U0001f600\\d").unwrap(),
        "\u{e9}\u{1f600}\\d"
    );
    for broken in ["'", "'a", "'\\'", r"'\x4'", "a"] {
        assert!(quoted(broken.as_bytes()).is_err(), "{broken}");
    }
    for broken in [r"\u00", r"\ud800", r"\uzzzz"] {
        assert!(raw_unicode(broken.as_bytes()).is_err(), "{broken}");
    }
}
