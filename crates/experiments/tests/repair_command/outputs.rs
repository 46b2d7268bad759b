//! What is written where: never over an input, once, with sane permissions, and whoever reads along.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Folder, expect, experiments, repair, root, unframed};

/// Two points that one linear layer gets right after a repair.
const POINTS: [([f32; 2], i64); 3] = [([1.0, 0.0], 0), ([0.0, 1.0], 1), ([1.0, 0.2], 0)];

/// The flags of a repair that succeeds, but for what it writes.
fn flags<'a>(network: &'a str, set: &'a str) -> Vec<&'a str> {
    vec![
        "--network",
        network,
        "--repair",
        set,
        "--layer",
        "last",
        "--objective",
        "l2",
    ]
}

#[test]
fn an_input_is_never_written_over_under_any_name_also_with_force() {
    let folder = Folder::new();
    let (network, set) = (folder.line(), folder.batch("set.safetensors", &POINTS));
    let guard = folder.batch("guard.safetensors", &[([0.3, 0.4], 0), ([0.9, 0.1], 1)]);
    let earlier = folder.path("earlier.safetensors");
    fs::copy(&network, &earlier).unwrap();
    let files = [&network, &set, &guard, &earlier];
    let before = files.map(|file| fs::read(file).unwrap());
    let spare = folder.path("spare.safetensors");
    for (file, flag) in files
        .into_iter()
        .zip(["--network", "--repair", "--guard", "--start"])
    {
        let link = folder.path("link.safetensors");
        fs::hard_link(file, &link).unwrap();
        let base = flags(&network, &set);
        let all = [
            &base[..],
            &["--guard", &guard, "--start", &earlier, "--force"],
        ]
        .concat();
        for name in [file, &link] {
            for written in [
                ["--out", name, "--report", &spare],
                ["--out", &spare, "--report", name],
            ] {
                let (_, err) = expect(&repair(&[&all[..], &written].concat()), 2);
                let expected = unframed(&format!("is read as {flag}"));
                assert!(unframed(&err).contains(&expected), "{err}");
            }
            if flag == "--start" {
                continue;
            }
            let sets = ["--network", &network, "--repair", &set, "--guard", &guard];
            let report = ["--report", name, "--force"];
            for command in ["analyze", "rank-layers"] {
                let (_, err) = expect(&experiments(command, &[&sets[..], &report].concat()), 2);
                assert!(unframed(&err).contains("isreadas"), "{command}: {err}");
            }
        }
        fs::remove_file(link).unwrap();
    }
    assert_eq!(files.map(|file| fs::read(file).unwrap()), before);
    assert!(!Path::new(&spare).exists());
}

#[test]
fn the_shards_of_a_network_are_inputs() {
    let folder = Folder::new();
    let set = folder.batch("set.safetensors", &POINTS);
    let net = folder.path("net");
    fs::create_dir(&net).unwrap();
    let shard = folder.path("net/shard.safetensors");
    fs::rename(folder.line(), &shard).unwrap();
    let index =
        r#"{"weight_map": {"0.weight": "shard.safetensors", "0.bias": "shard.safetensors"}}"#;
    let listed = folder.path("net/model.safetensors.index.json");
    fs::write(&listed, index).unwrap();
    for file in [&shard, &listed] {
        let written = ["--report", file, "--out", "none.safetensors", "--force"];
        let (_, err) = expect(&repair(&[&flags(&net, &set)[..], &written].concat()), 2);
        assert!(unframed(&err).contains("isreadas--network"), "{err}");
    }
    assert_eq!(fs::read_to_string(&listed).unwrap(), index);
}

#[test]
fn of_several_repairs_into_one_file_one_succeeds() {
    let folder = Folder::new();
    let (network, set) = (folder.line(), folder.batch("set.safetensors", &POINTS));
    let out = folder.path("out.safetensors");
    let started: Vec<_> = (1..=6)
        .map(|margin| {
            let margin = margin.to_string();
            Command::new(env!("CARGO_BIN_EXE_experiments"))
                .arg("repair")
                .args(flags(&network, &set))
                .args(["--margin", &margin, "--out", &out])
                .current_dir(root())
                .env_remove("RUST_LOG")
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let ended: Vec<_> = started
        .into_iter()
        .map(|child| child.wait_with_output().unwrap())
        .collect();
    let won = ended.iter().filter(|output| output.status.success());
    assert_eq!(won.count(), 1);
    for output in ended.iter().filter(|output| !output.status.success()) {
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{err}");
        let says = ["writeoveritwith--force"; 1];
        assert!(
            says.iter().any(|text| unframed(&err).contains(text)),
            "{err}"
        );
    }
    let left = fs::read_dir(folder.0.path()).unwrap().count();
    assert_eq!(left, 3, "no temporary file is left");
}

#[cfg(unix)]
#[test]
fn a_repaired_network_can_be_read_by_nobody_who_may_not_read_the_network() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let (network, set) = (folder.line(), folder.batch("set.safetensors", &POINTS));
    let out = folder.path("out.safetensors");
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let set_mode = |path: &str, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let write = || {
        let flags = [&flags(&network, &set)[..], &["--out", &out, "--force"]].concat();
        expect(&repair(&flags), 0);
    };
    set_mode(&network, 0o600);
    write();
    assert_eq!(mode(&out), 0o600);
    for kept in [0o640, 0o664, 0o600] {
        set_mode(&out, kept);
        write();
        assert_eq!(mode(&out), kept, "{kept:o}");
    }
}

/// The exit code of a command whose standard output goes to `output`, and what it says besides.
fn ends(arguments: &[&str], output: Stdio, reads: bool) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_experiments"))
        .args(arguments)
        .current_dir(root())
        .env_remove("RUST_LOG")
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if !reads {
        drop(child.stdout.take());
    }
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    (ended.status.code(), said)
}

#[test]
fn a_closed_standard_output_is_no_panic_and_no_failure() {
    let folder = Folder::new();
    let (network, set) = (folder.line(), folder.batch("set.safetensors", &POINTS));
    let guard = folder.batch("guard.safetensors", &[([0.3, 0.4], 0), ([0.9, 0.1], 1)]);
    let both = folder.batch("both.safetensors", &[([1.0, 0.0], 0), ([1.0, 0.0], 1)]);
    let out = folder.path("out.safetensors");
    let repair = |set| {
        [
            &["repair"],
            &flags(&network, set)[..],
            &["--out", &out, "--force"],
        ]
        .concat()
    };
    let sets = ["--network", &network, "--repair", &set, "--guard", &guard];
    let cases = [
        (repair(&set), 0),
        (repair(&both), 3),
        ([&["analyze"], &sets[..]].concat(), 0),
        ([&["rank-layers", "--budget", "0"], &sets[..]].concat(), 0),
        (vec!["inspect", "--network", &network], 0),
        (vec!["inspect", "--json", "--network", &network], 0),
        (vec!["--help"], 0),
        (vec!["--version"], 0),
        (vec!["inspect", "--network", &set], 2),
    ];
    for (arguments, code) in &cases {
        let (got, said) = ends(arguments, Stdio::piped(), false);
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
        let (expected, _) = ends(arguments, Stdio::null(), true);
        assert_eq!(got, expected, "{arguments:?}: {said}");
        if *code != 2 {
            assert_eq!(got, Some(*code), "{arguments:?}: {said}");
        }
    }
    assert!(Path::new(&out).is_file());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_a_failure_that_is_said() {
    let folder = Folder::new();
    let network = folder.line();
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let (code, said) = ends(&["inspect", "--network", &network], full.into(), true);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot write to standard output"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}
