//! Which device computes, and in which precision.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{DType, Device};

use crate::NetworkError;

/// A device that can be asked for by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// A GPU if this build can use one and the machine has one, else `flex`.
    Auto,
    /// burn's CPU backend.
    #[default]
    Flex,
    /// burn's older CPU backend (cargo feature `ndarray`).
    NdArray,
    /// Any GPU through WebGPU (cargo feature `wgpu`).
    Wgpu,
}

impl DeviceChoice {
    /// Every device, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Flex, Self::NdArray, Self::Wgpu];

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Flex => "flex",
            Self::NdArray => "ndarray",
            Self::Wgpu => "wgpu",
        }
    }

    /// The device that `auto` stands for on this machine; itself otherwise. A driver that
    /// computes on the CPU is no GPU.
    pub fn resolve(self) -> Self {
        match self {
            Self::Auto if has_gpu() => Self::Wgpu,
            Self::Auto => Self::Flex,
            named => named,
        }
    }

    /// The precision that the device offers everywhere: GPUs often lack f64.
    pub fn default_precision(self) -> Precision {
        match self.resolve() {
            Self::Wgpu => Precision::F32,
            _ => Precision::F64,
        }
    }

    /// Opens the device.
    ///
    /// # Errors
    /// [`NetworkError::Device`] when the build leaves the backend out or the
    /// machine has no adapter for it.
    pub fn open(self) -> Result<Device, NetworkError> {
        match self.resolve() {
            Self::Auto | Self::Flex => Ok(Device::flex()),
            Self::NdArray => open_ndarray(),
            Self::Wgpu => open_wgpu(),
        }
    }
}

#[cfg(feature = "ndarray")]
#[allow(deprecated)] // deprecated upstream, kept selectable for comparison
fn open_ndarray() -> Result<Device, NetworkError> {
    Ok(Device::ndarray())
}

#[cfg(not(feature = "ndarray"))]
fn open_ndarray() -> Result<Device, NetworkError> {
    Err(left_out(DeviceChoice::NdArray))
}

#[cfg(feature = "wgpu")]
mod adapter {
    use std::sync::OnceLock;

    use burn::tensor::{Device, DeviceKind};

    /// An opened adapter and whether it is a GPU. A process may open an adapter only once.
    pub(super) type Adapter = Result<(Device, bool), String>;

    /// The best adapter: a GPU before a driver that computes on the CPU.
    pub(super) fn best() -> &'static Adapter {
        static BEST: OnceLock<Adapter> = OnceLock::new();
        BEST.get_or_init(|| {
            let gpus = [
                DeviceKind::DiscreteGpu(0),
                DeviceKind::IntegratedGpu(0),
                DeviceKind::VirtualGpu(0),
            ];
            let open = |kind| Device::wgpu_options().device_kind(kind).init();
            match gpus.into_iter().find_map(|kind| open(kind).ok()) {
                Some(gpu) => Ok((gpu, true)),
                None => Device::wgpu_options()
                    .init()
                    .map(|device| (device, false))
                    .map_err(|error| error.to_string()),
            }
        })
    }
}

#[cfg(feature = "wgpu")]
fn open_wgpu() -> Result<Device, NetworkError> {
    match adapter::best() {
        Ok((device, _)) => Ok(device.clone()),
        Err(reason) => Err(NetworkError::Device {
            device: DeviceChoice::Wgpu.name(),
            reason: format!("{reason}; a GPU driver with Vulkan, Metal or DX12 is needed"),
        }),
    }
}

#[cfg(feature = "wgpu")]
fn has_gpu() -> bool {
    matches!(adapter::best(), Ok((_, true)))
}

#[cfg(not(feature = "wgpu"))]
fn has_gpu() -> bool {
    false
}

#[cfg(not(feature = "wgpu"))]
fn open_wgpu() -> Result<Device, NetworkError> {
    Err(left_out(DeviceChoice::Wgpu))
}

#[cfg(not(all(feature = "ndarray", feature = "wgpu")))]
fn left_out(choice: DeviceChoice) -> NetworkError {
    NetworkError::Device {
        device: choice.name(),
        reason: format!(
            "this build leaves it out; add `--features {}`",
            choice.name()
        ),
    }
}

impl FromStr for DeviceChoice {
    type Err = NetworkError;

    fn from_str(name: &str) -> Result<Self, NetworkError> {
        Self::ALL
            .into_iter()
            .find(|choice| choice.name() == name)
            .ok_or_else(|| NetworkError::Unknown {
                kind: "device",
                name: name.to_owned(),
                known: Self::ALL.map(|choice| choice.name().to_owned()).to_vec(),
            })
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The floating-point type that a network computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}

impl Precision {
    /// Both precisions.
    pub const ALL: [Self; 2] = [Self::F32, Self::F64];

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
        }
    }
}

impl FromStr for Precision {
    type Err = NetworkError;

    fn from_str(name: &str) -> Result<Self, NetworkError> {
        Self::ALL
            .into_iter()
            .find(|precision| precision.name() == name)
            .ok_or_else(|| NetworkError::Unknown {
                kind: "precision",
                name: name.to_owned(),
                known: Self::ALL.map(|known| known.name().to_owned()).to_vec(),
            })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
