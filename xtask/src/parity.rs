//! Compares every network with the outputs that PyTorch stored for it.

use std::path::PathBuf;
use std::process::ExitCode;

use comfy_table::{Table, presets};
use experiments::terminal;
use miette::{IntoDiagnostic, miette};
use network::{DeviceChoice, Precision, parity};

use crate::files::assets;

/// Flags of `cargo xtask parity`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of weights and references [default: $INFORMED_REPAIR_ASSETS, else shared/assets beside the repository]
    #[arg(long, value_name = "DIR")]
    assets: Option<PathBuf>,
    /// Where networks compute; repeat for several
    #[arg(long, value_name = "auto|flex|ndarray|wgpu", default_value = "flex")]
    device: Vec<DeviceChoice>,
    /// Float type in which they compute [default: both, on wgpu f32]
    #[arg(long, value_name = "f32|f64")]
    dtype: Option<Precision>,
    /// Only networks whose name contains this
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
}

/// Prints a line per network, device and float type; exit code 1 when one is above its tolerance.
pub(crate) fn run(args: &Args) -> miette::Result<ExitCode> {
    let folder = assets(args.assets.as_deref());
    let cases: Vec<_> = parity::CASES
        .iter()
        .filter(|case| case.name.contains(&args.only))
        .collect();
    if cases.is_empty() {
        let known: Vec<&str> = parity::CASES.iter().map(|case| case.name).collect();
        return Err(miette!(
            "no network is named like `{}`; known: {}",
            args.only,
            known.join(", ")
        ));
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header([
        "network",
        "device",
        "float",
        "largest difference / scale",
        "tolerance",
        "",
    ]);
    let mut failed = 0;
    for choice in &args.device {
        let choice = choice.resolve();
        let device = choice.open().into_diagnostic()?;
        let precisions = match (args.dtype, choice) {
            (Some(precision), _) => vec![precision],
            (None, DeviceChoice::Wgpu) => vec![Precision::F32],
            (None, _) => Precision::ALL.to_vec(),
        };
        for case in &cases {
            for &precision in &precisions {
                let difference =
                    parity::compare(case, &folder, &device, precision).into_diagnostic()?;
                let tolerance = difference.tolerance(precision);
                let holds = difference.relative() <= tolerance;
                failed += usize::from(!holds);
                table.add_row([
                    case.name.to_owned(),
                    choice.to_string(),
                    precision.to_string(),
                    format!("{:.1e}", difference.relative()),
                    format!("{tolerance:.0e}"),
                    if holds { "ok" } else { "ABOVE" }.to_owned(),
                ]);
            }
        }
    }
    terminal::print(format_args!("{table}"));
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
