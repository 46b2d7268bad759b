//! What reaches a terminal: the one place that prints.
//!
//! Names of tensors, classes, files and much else are the work of whoever made a file, and a terminal obeys
//! control characters. All text that is printed passes [`shown`], which writes them out:
//!
//! ```
//! use experiments::terminal::shown;
//!
//! assert_eq!(shown("\u{1b}[2J0.weight"), r"\u{1b}[2J0.weight");
//! ```
//!
//! A reader who has had enough, as `| head` has, is no failure: what is left is not printed, and the exit
//! code stays. Any other failure of standard output is one, which [`exit`] says.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::{self, Display, Write as _};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Arg, Command, CommandFactory, FromArgMatches};
use indicatif::ProgressBar;
use miette::{Diagnostic, MietteHandler, MietteHandlerOpts, ReportHandler};

/// Words in the name of a flag's value that say it is a number, alone or with a unit.
const NUMBERS: [&str; 6] = ["N", "NUMBER", "POINTS", "SECONDS", "SIZE", "TIME"];

/// Whether some text could not be printed.
static LOST: AtomicBool = AtomicBool::new(false);

/// A text whose control characters are written out: C0 but for ends of lines and tabs, DEL, C1, and those
/// that turn the direction of what follows.
pub fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c.escape_unicode().to_string())
}

/// A name that stands within a line: its own ends of lines and tabs are written out, too.
pub(crate) fn in_line(name: &str) -> String {
    let written = |c: char| match c {
        '\n' | '\r' | '\t' => c.escape_default().to_string(),
        c => c.to_string(),
    };
    name.chars().map(written).collect()
}

/// A JSON text in which they are written as JSON escapes them, so that it means what it meant.
pub(crate) fn shown_json(text: &str) -> Cow<'_, str> {
    escaped(text, |c| format!("\\u{:04x}", u32::from(c)))
}

fn escaped(text: &str, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(is_command) {
        return Cow::Borrowed(text);
    }
    let character = |c| match is_command(c) {
        true => escape(c),
        false => String::from(c),
    };
    Cow::Owned(text.chars().map(character).collect())
}

/// Whether a terminal acts on a character rather than showing it.
fn is_command(c: char) -> bool {
    let turns = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    (c.is_control() && !matches!(c, '\n' | '\t')) || turns
}

/// Prints a text and an end of line on standard output.
pub fn print(text: impl Display) {
    let line = format!("{}\n", shown(&text.to_string()));
    let mut output = io::stdout().lock();
    let outcome = output
        .write_all(line.as_bytes())
        .and_then(|()| output.flush());
    if let Err(error) = outcome
        && error.kind() != ErrorKind::BrokenPipe
        && !LOST.swap(true, Ordering::Relaxed)
    {
        say(format_args!("cannot write to standard output: {error}"));
    }
}

/// Prints a text and an end of line on standard error; nobody is left to tell that it fails.
pub fn say(text: impl Display) {
    let line = format!("{}\n", shown(&text.to_string()));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Prints an error with its causes, its help and the text at fault, in colours where nothing of it is a
/// control character.
pub fn report(error: &dyn Diagnostic) {
    let plain = rendered(error, false);
    match shown(&plain) {
        Cow::Owned(text) => say(text),
        Cow::Borrowed(_) => {
            let _ = writeln!(io::stderr(), "{}", rendered(error, true));
        }
    }
}

fn rendered(error: &dyn Diagnostic, coloured: bool) -> String {
    struct Shown<'a>(&'a dyn Diagnostic, MietteHandler);
    impl fmt::Debug for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.1.debug(self.0, f)
        }
    }
    let options = MietteHandlerOpts::new();
    let handler = match coloured {
        true => options.build(),
        false => options.color(false).terminal_links(false).build(),
    };
    let mut text = String::new();
    // A diagnostic that cannot be formatted still has a message.
    match write!(text, "{:?}", Shown(error, handler)) {
        Ok(()) => text,
        Err(_) => error.to_string(),
    }
}

/// The exit code to end with: `code`, unless some text could not be printed though somebody reads it.
pub fn exit(code: ExitCode) -> ExitCode {
    match LOST.load(Ordering::Relaxed) {
        true => ExitCode::FAILURE,
        false => code,
    }
}

/// Reads the command line, on which every number may be negative, so that it is refused for what it is.
///
/// # Errors
/// The exit code to end with, once help, version or a refusal is printed.
pub fn arguments<C: CommandFactory + FromArgMatches>() -> Result<C, ExitCode> {
    let words: Vec<OsString> = std::env::args_os().collect();
    parse(words.clone()).map_err(|error| {
        // The same words with nothing in them that a terminal obeys are refused alike.
        let words = words.iter().map(|word| word.to_string_lossy());
        let safe: Vec<String> = words.map(|word| shown(&word).into_owned()).collect();
        let error = parse::<C>(safe).err().unwrap_or_else(|| {
            let kind = error.kind();
            clap::Error::raw(kind, shown(&error.to_string()))
        });
        let code = error.exit_code();
        // In colours on a terminal; nobody is left to tell that it fails.
        let _ = error.print();
        ExitCode::from(code.clamp(0, 255) as u8)
    })
}

/// What a command line says.
///
/// # Errors
/// What is wrong with it, or the help or version that it asks for.
pub fn parse<C: CommandFactory + FromArgMatches>(
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<C, clap::Error> {
    let mut command = with_negative_numbers(C::command());
    let mut found = command.try_get_matches_from_mut(words)?;
    C::from_arg_matches_mut(&mut found).map_err(|error| error.format(&mut command))
}

/// Without this `--margin -0.5` is a flag that nobody knows, and not a number below 0.
fn with_negative_numbers(command: Command) -> Command {
    let numeric = |arg: Arg| {
        let names = arg.get_value_names().unwrap_or_default();
        let is_number = |name: &str| name.split('|').any(|word| NUMBERS.contains(&word));
        let is_numeric =
            arg.get_action().takes_values() && names.iter().any(|name| is_number(name));
        arg.allow_hyphen_values(is_numeric)
    };
    command
        .mut_args(numeric)
        .mut_subcommands(with_negative_numbers)
}

/// Whether standard error is a terminal.
pub fn is_interactive() -> bool {
    io::stderr().is_terminal()
}

/// Shows a text beside a progress bar.
pub fn message(bar: &ProgressBar, text: &str) {
    bar.set_message(shown(text).into_owned());
}

/// Writes log records on standard error.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        // As in `say`: the log would complain on the same closed stream.
        let _ = io::stderr().write_all(shown(&text).as_bytes());
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use clap::error::ErrorKind as UsageError;

    use super::*;
    use crate::cli::Cli;
    use crate::error::{ExperimentError, PlanFault};

    #[test]
    fn control_characters_are_written_out_and_no_others() {
        for (text, expected) in [
            ("\u{1b}]0;owned\u{7}", r"\u{1b}]0;owned\u{7}"),
            ("a\rb\u{8}c\0", r"a\u{d}b\u{8}c\u{0}"),
            (
                "\u{7f}\u{80}\u{9b}31m\u{9f}",
                r"\u{7f}\u{80}\u{9b}31m\u{9f}",
            ),
            (
                "\u{202a}\u{202e}\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}",
                r"\u{202a}\u{202e}\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}",
            ),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(in_line("a\nb\tc"), r"a\nb\tc");
        for text in [
            "",
            "two\n\tlines",
            "Grüße, 猫, שלום, \u{a0}\u{2029}\u{e000}",
        ] {
            assert!(matches!(shown(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn json_means_what_it_meant() {
        let text = "\u{1b}\u{7f}\u{9b}\u{202e}\"\\\n猫";
        let json = serde_json::to_string_pretty(&[text]).unwrap();
        let safe = shown_json(&json);
        assert!(!safe.contains(is_command), "{safe}");
        let back: Vec<String> = serde_json::from_str(&safe).unwrap();
        assert_eq!(back, [text]);
    }

    #[test]
    fn an_error_is_rendered_without_what_a_terminal_obeys() {
        let owned = "\u{1b}]0;owned\u{7}\u{9b}2J";
        let usage = |problem: &str| ExperimentError::Usage {
            problem: problem.to_owned(),
        };
        let text = format!("name = \"{owned}\"\n");
        let errors = [
            usage(owned),
            ExperimentError::Prepare {
                what: "network".to_owned(),
                source: owned.into(),
            },
            ExperimentError::Plan(Box::new(PlanFault {
                problem: owned.to_owned(),
                span: (0, text.len()).into(),
                text: miette::NamedSource::new(owned, text),
                label: owned.to_owned(),
                help: Some(owned.to_owned()),
            })),
        ];
        for error in &errors {
            let plain = rendered(error, false);
            let text = shown(&plain);
            assert!(text.contains("owned"), "{text}");
            assert!(!text.contains(is_command), "{text:?}");
        }
        let plain = rendered(&usage("nothing odd"), false);
        assert!(matches!(shown(&plain), Cow::Borrowed(_)), "{plain:?}");
    }

    /// Every flag of a command and of those below it that takes a number, behind the words that lead to it.
    fn numeric_flags(command: &Command, path: &[String]) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        for arg in command.get_arguments() {
            let names = arg.get_value_names().unwrap_or_default().iter();
            let mut words = names.flat_map(|name| name.split('|').map(str::to_owned));
            if words.any(|word| NUMBERS.contains(&word.as_str()))
                && let Some(long) = arg.get_long()
            {
                found.push([path, &[format!("--{long}")]].concat());
            }
        }
        for below in command.get_subcommands() {
            let path = [path, &[below.get_name().to_owned()]].concat();
            found.extend(numeric_flags(below, &path));
        }
        found
    }

    #[test]
    fn a_negative_number_is_refused_for_what_it_is_at_every_flag() {
        let flags = numeric_flags(&Cli::command(), &["experiments".to_owned()]);
        assert!(flags.len() > 20, "{flags:?}");
        for flag in flags {
            for number in ["-0.5", "-1e-3", "-inf", "-4GiB"] {
                let words = [&flag[..], &[number.to_owned()]].concat();
                let error = parse::<Cli>(&words).unwrap_err();
                // A threshold is any finite number; then other flags are missing.
                let is_any = flag.ends_with(&["--threshold".to_owned()])
                    && number.parse().is_ok_and(f64::is_finite);
                let expected = match is_any {
                    true => UsageError::MissingRequiredArgument,
                    false => UsageError::ValueValidation,
                };
                assert_eq!(error.kind(), expected, "{words:?}: {error}");
            }
        }
        let error = Cli::try_parse_from(["experiments", "--jobs", "-1"]).unwrap_err();
        assert_eq!(
            error.kind(),
            UsageError::UnknownArgument,
            "what clap does by itself"
        );
    }
}
