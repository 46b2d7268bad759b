//! What the functions and classes that a pickle names may be used for.
//!
//! A pickle is a program whose instructions call whatever Python function it names. Nothing is called
//! here; a few functions of torch and Python are *understood*, and their answers built. Every other
//! name is foreign. A foreign class may only be the class of an `nn.Module`, which is data; a foreign
//! name that is used otherwise, or not at all, is one that the author of the file meant for more than
//! weights.

use super::storage::Element;

/// What a name may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A function or class whose answer is built.
    Understood(Call),
    /// The class of a storage; it is named, never called.
    StorageOf(Element),
    /// A dtype; it is named, never called.
    DtypeOf(Element),
    /// A Python type that holds data and does nothing when it is built.
    Plain,
    /// A class or function of torch that may be named, and a class of which objects may be data.
    /// A call is refused.
    Torch,
    /// A function of torch that makes a tensor that is not read. A call makes an opaque object.
    Unread,
    /// Anything else.
    Foreign,
}

/// Functions and classes whose answer is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A dictionary: `(entries)`.
    Dict,
    /// A `defaultdict`: `(factory)`.
    DefaultDict,
    /// A list, a set or a tuple: `(items)`.
    Sequence,
    /// `copyreg._reconstructor(class, base, state)`.
    Reconstruct,
    /// `_codecs.encode(text, "latin1")`: bytes in protocol 2.
    Encode,
    /// `_rebuild_tensor(storage, offset, size, stride)` and its second version.
    Tensor,
    /// `_rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype, ..)`.
    TypedTensor,
    /// `_rebuild_parameter(tensor, ..)`: the tensor.
    Parameter,
    /// `_rebuild_from_type_v2(function, type, arguments, state)`: the answer of the function.
    FromType,
    /// `_load_from_bytes(bytes)`: a storage, saved in the legacy container.
    LoadFromBytes,
}

/// Python types that hold data and do nothing when they are built.
const PLAIN: [&str; 34] = [
    "argparse.Namespace",
    "builtins.bool",
    "builtins.bytearray",
    "builtins.bytes",
    "builtins.complex",
    "builtins.float",
    "builtins.int",
    "builtins.object",
    "builtins.range",
    "builtins.slice",
    "builtins.str",
    "collections.deque",
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "datetime.timezone",
    "decimal.Decimal",
    "fractions.Fraction",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.numeric._frombuffer",
    "numpy._core.numeric._frombuffer",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "pathlib.WindowsPath",
    "types.SimpleNamespace",
    "uuid.UUID",
    "uuid.SafeUUID",
];

/// Scalars and small types of torch.
const TORCH_PLAIN: [&str; 17] = [
    "torch.Size",
    "torch.device",
    "torch.Generator",
    "torch.serialization._get_layout",
    "torch.channels_last",
    "torch.channels_last_3d",
    "torch.contiguous_format",
    "torch.per_channel_affine",
    "torch.per_tensor_affine",
    "torch.per_tensor_symmetric",
    "torch.preserve_format",
    "torch.sparse_coo",
    "torch.sparse_csr",
    "torch.strided",
    "torch.Tensor",
    "torch._tensor.Tensor",
    "torch.tensor.Tensor",
];

/// Functions of torch that make tensors of other kinds, which the start of a name tells.
const REBUILDS: &str = "torch._utils._rebuild_";

/// Modules of torch whose classes and functions may be named.
const TORCH_MODULES: [&str; 4] = [
    "torch.nn.",
    "torch.optim.",
    "torch.utils.hooks.",
    "torch._C._nn.",
];

impl Role {
    /// The role of a name of a module.
    pub(super) fn of(module: &str, name: &str) -> Self {
        // Python 2 named two modules otherwise.
        let module = match module {
            "__builtin__" => "builtins",
            "copy_reg" => "copyreg",
            module => module,
        };
        // `torch.x` with the name `y.os.system` would be `os.system`.
        if name.contains('.') || name.is_empty() {
            return Self::Foreign;
        }
        let whole = format!("{module}.{name}");
        if let Some(call) = understood(&whole) {
            return Self::Understood(call);
        }
        if PLAIN.contains(&whole.as_str()) || TORCH_PLAIN.contains(&whole.as_str()) {
            return Self::Plain;
        }
        match module {
            "torch" | "torch.cuda" | "torch.storage" => {
                let storage = name.strip_suffix("Storage").and_then(Element::of_name);
                if let Some(element) = storage {
                    return Self::StorageOf(element);
                }
                // `FloatTensor`, in the TAR container.
                if name
                    .strip_suffix("Tensor")
                    .and_then(Element::of_name)
                    .is_some()
                {
                    return Self::Plain;
                }
                match Element::of_name(name) {
                    Some(element) if module == "torch" => Self::DtypeOf(element),
                    _ => Self::Foreign,
                }
            }
            _ if whole.starts_with(REBUILDS) => Self::Unread,
            _ if TORCH_MODULES.iter().any(|start| whole.starts_with(start)) => Self::Torch,
            _ => Self::Foreign,
        }
    }
}

fn understood(name: &str) -> Option<Call> {
    Some(match name {
        "collections.OrderedDict" | "collections.Counter" | "builtins.dict" => Call::Dict,
        "collections.defaultdict" => Call::DefaultDict,
        "builtins.list" | "builtins.set" | "builtins.frozenset" | "builtins.tuple" => {
            Call::Sequence
        }
        "copyreg._reconstructor" => Call::Reconstruct,
        "_codecs.encode" => Call::Encode,
        "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => Call::Tensor,
        "torch._utils._rebuild_tensor_v3" => Call::TypedTensor,
        "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
            Call::Parameter
        }
        "torch._tensor._rebuild_from_type_v2" => Call::FromType,
        "torch.storage._load_from_bytes" => Call::LoadFromBytes,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::Dtype;

    #[test]
    fn names_that_reach_beyond_torch_and_plain_data_are_foreign() {
        for (module, name) in [
            ("os", "system"),
            ("posix", "system"),
            ("builtins", "eval"),
            ("__builtin__", "getattr"),
            ("torch", "load"),
            ("torch.hub", "load"),
            ("torch.nn.modules.linear", "torch.os.system"),
            ("torch.nn.functional", "F.os.system"),
            ("torch", "nn.Linear"),
            ("torch.cuda", "float32"),
            ("torchvision.models", "SqueezeNet"),
            ("__main__", "Net"),
            ("", ""),
            ("numpy.testing._private.utils", "runstring"),
        ] {
            assert_eq!(Role::of(module, name), Role::Foreign, "{module} {name}");
        }
    }

    #[test]
    fn names_of_torch_have_their_roles() {
        let float = Element::Read(Dtype::F32);
        for (module, name, role) in [
            ("torch", "FloatStorage", Role::StorageOf(float)),
            ("torch.cuda", "FloatStorage", Role::StorageOf(float)),
            (
                "torch.storage",
                "UntypedStorage",
                Role::StorageOf(Element::Untyped),
            ),
            ("torch", "float32", Role::DtypeOf(float)),
            ("torch.nn.modules.linear", "Linear", Role::Torch),
            ("torch.optim.sgd", "SGD", Role::Torch),
            ("torch._utils", "_rebuild_qtensor", Role::Unread),
            (
                "copy_reg",
                "_reconstructor",
                Role::Understood(Call::Reconstruct),
            ),
            ("__builtin__", "set", Role::Understood(Call::Sequence)),
            ("argparse", "Namespace", Role::Plain),
        ] {
            assert_eq!(Role::of(module, name), role, "{module} {name}");
        }
    }
}
