//! Checks on `Cargo.toml` files and on what cargo compiles.

use toml::Table;

use super::{Finding, TextFile};

/// The workspace's packages; each depends on earlier ones only.
const ORDER: [&str; 12] = [
    "disk",
    "model",
    "network",
    "data",
    "hub",
    "optim",
    "repair",
    "heuristics",
    "experiments",
    "xtask",
    "workspace-tests",
    "fuzz",
];
const SOLVERS: [&str; 2] = ["clarabel", "microlp"];
const CONNECTIONS: [&str; 4] = ["hf-hub", "hyper", "reqwest", "ureq"];
/// Crates whose purpose is to compile or to bind C and C++.
const C_COMPILERS: [&str; 5] = ["bindgen", "cc", "cmake", "cxx-build", "nasm-rs"];
/// The one crate that may: transport encryption, for `hub`.
const MAY_COMPILE_C: &str = "ring";

/// Only `optim` depends on a solver.
pub(super) fn solver_dependencies(files: &[TextFile]) -> Vec<Finding> {
    find(files, |package, dependency, _| {
        (package != "optim" && SOLVERS.contains(&dependency))
            .then(|| format!("{package} depends on a solver, {dependency}; only optim does"))
    })
}

/// Only `hub` depends on a crate that opens connections.
pub(super) fn connection_dependencies(files: &[TextFile]) -> Vec<Finding> {
    find(files, |package, dependency, _| {
        (package != "hub" && CONNECTIONS.contains(&dependency))
            .then(|| format!("{package} depends on {dependency}; only hub opens connections"))
    })
}

/// `model` depends on no tensor library: what only reads files needs none.
pub(super) fn tensor_dependencies(files: &[TextFile]) -> Vec<Finding> {
    find(files, |package, dependency, _| {
        let is_burn = dependency == "burn" || dependency.starts_with("burn-");
        (package == "model" && is_burn)
            .then(|| format!("model depends on {dependency}; it computes nothing"))
    })
}

/// Packages depend on earlier ones in [`ORDER`]; `optim` depends on none.
pub(super) fn direction(files: &[TextFile]) -> Vec<Finding> {
    let position = |name: &str| ORDER.iter().position(|&package| package == name);
    find(files, |package, dependency, section| {
        let to = position(dependency)?;
        let Some(from) = position(package) else {
            return Some(format!("{package} has no place in the order of packages"));
        };
        if package == "optim" {
            return Some(format!(
                "optim depends on {dependency}; it knows no other package"
            ));
        }
        (section != "dev-dependencies" && to >= from)
            .then(|| format!("{package} depends on {dependency}, which comes after it"))
    })
}

/// Applies `rule` to (package, dependency, section) of every member's manifest.
fn find(files: &[TextFile], rule: impl Fn(&str, &str, &str) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.path.ends_with("Cargo.toml"))
    {
        let manifest: Table = match file.text.parse() {
            Ok(manifest) => manifest,
            Err(error) => {
                findings.push(file.finding(1, format!("not TOML: {}", error.message())));
                continue;
            }
        };
        let name = manifest
            .get("package")
            .and_then(|package| package.get("name"));
        let Some(package) = name.and_then(|name| name.as_str()) else {
            continue;
        };
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let dependencies = manifest.get(section).and_then(|section| section.as_table());
            for dependency in dependencies.into_iter().flat_map(Table::keys) {
                if let Some(message) = rule(package, dependency, section) {
                    findings.push(file.finding(line_of(&file.text, section, dependency), message));
                }
            }
        }
    }
    findings
}

/// Line on which `dependency` begins in `[section]`, or 1.
fn line_of(manifest: &str, section: &str, dependency: &str) -> usize {
    let header = format!("[{section}]");
    let begins = |line: &str| {
        let after = line.trim_start().strip_prefix(dependency);
        after.is_some_and(|after| after.starts_with([' ', '=', '.']))
    };
    (1..)
        .zip(manifest.lines())
        .skip_while(|(_, line)| line.trim() != header)
        .find(|(_, line)| begins(line))
        .map_or(1, |(number, _)| number)
}

/// No crate but `ring` compiles C or C++, judged from `cargo tree --prefix depth`.
pub(super) fn compiled_c(tree: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut path: Vec<&str> = Vec::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        let (Some(depth), Some(name)) = (words.next(), words.next()) else {
            continue;
        };
        let Ok(depth) = depth.parse::<usize>() else {
            continue;
        };
        path.truncate(depth);
        path.push(name);
        let parent = path.iter().rev().nth(1).copied().unwrap_or_default();
        if C_COMPILERS.contains(&name) && parent != MAY_COMPILE_C {
            let message = format!("compiles C or C++: {}", path.join(" -> "));
            findings.push(Finding {
                path: "Cargo.lock".to_owned(),
                line: 1,
                message,
            });
        }
    }
    findings.sort();
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, places};
    use super::*;

    fn manifest(package: &str, dependencies: &str) -> TextFile {
        let text = format!("[package]\nname = \"{package}\"\n\n{dependencies}\n");
        file(&format!("crates/{package}/Cargo.toml"), &text)
    }

    #[test]
    fn solvers_and_connections_have_their_crate() {
        let files = [
            manifest(
                "repair",
                "[dependencies]\nfaer = \"0.1\"\nclarabel = \"0.11\"",
            ),
            manifest("optim", "[dependencies]\nclarabel.workspace = true"),
            manifest("data", "[dependencies]\nureq = \"3\""),
        ];
        assert_eq!(
            places(solver_dependencies(&files)),
            ["crates/repair/Cargo.toml:6"]
        );
        assert_eq!(
            places(connection_dependencies(&files)),
            ["crates/data/Cargo.toml:5"]
        );
    }

    #[test]
    fn models_are_read_without_a_tensor_library() {
        let files = [
            manifest("model", "[dependencies]\nburn-store.workspace = true"),
            manifest("network", "[dependencies]\nburn.workspace = true"),
        ];
        let found = places(tensor_dependencies(&files));
        assert_eq!(found, ["crates/model/Cargo.toml:5"]);
    }

    #[test]
    fn dependencies_point_to_earlier_packages() {
        let files = [
            manifest(
                "repair",
                "[dependencies]\ndata.workspace = true\noptim.workspace = true",
            ),
            manifest("data", "[dependencies]\nrepair.workspace = true"),
            manifest("network", "[dev-dependencies]\ndata.workspace = true"),
            manifest("extra", "[dependencies]\ndata.workspace = true"),
        ];
        let expected = ["crates/data/Cargo.toml:5", "crates/extra/Cargo.toml:5"];
        assert_eq!(places(direction(&files)), expected);
    }

    #[test]
    fn optim_knows_no_other_package() {
        let files = [manifest(
            "optim",
            "[dev-dependencies]\nnetwork.workspace = true",
        )];
        assert_eq!(places(direction(&files)), ["crates/optim/Cargo.toml:5"]);
    }

    #[test]
    fn the_root_manifest_is_no_package_and_broken_ones_are_found() {
        let files = [
            file(
                "Cargo.toml",
                "[workspace.dependencies]\nclarabel = \"0.11\"\n",
            ),
            file("crates/data/Cargo.toml", "[package\n"),
        ];
        assert_eq!(places(direction(&files)), ["crates/data/Cargo.toml:1"]);
    }

    #[test]
    fn only_ring_compiles_c() {
        let tree = "0 hub v0.1.0 (path)\n1 ring v0.17.0\n2 cc v1.2.0\n1 zstd-sys v2.0.0\n2 cc v1.2.0 (*)\n";
        let messages: Vec<_> = compiled_c(tree).into_iter().map(|f| f.message).collect();
        assert_eq!(messages, ["compiles C or C++: hub -> zstd-sys -> cc"]);
    }
}
