//! Which device computes, and in which precision.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{DType, Device};

use crate::NetworkError;

/// A device that can be asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// burn's CPU backend.
    Flex,
    /// burn's older CPU backend (cargo feature `ndarray`).
    NdArray,
    /// Any GPU through WebGPU or Vulkan (cargo feature `wgpu`).
    Wgpu,
}

impl DeviceChoice {
    /// Every device, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Flex, Self::NdArray, Self::Wgpu];

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::NdArray => "ndarray",
            Self::Wgpu => "wgpu",
        }
    }

    /// Opens the device.
    ///
    /// # Errors
    /// [`NetworkError::Device`] when the build leaves the backend out or the
    /// machine has no adapter for it.
    pub fn open(self) -> Result<Device, NetworkError> {
        match self {
            Self::Flex => Ok(Device::flex()),
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
fn open_wgpu() -> Result<Device, NetworkError> {
    Device::wgpu_options()
        .init()
        .map_err(|error| NetworkError::Device {
            device: DeviceChoice::Wgpu.name(),
            reason: format!("{error}; a GPU driver with Vulkan, Metal or DX12 is needed"),
        })
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
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
        }
    }
}
