//! Files of `torch.save`.

use model::{Checkpoint, Dtype};

use crate::{assert_refused, assert_same_tensors, reference};

#[test]
fn every_container_and_nesting_gives_the_same_tensors() {
    let expected = Checkpoint::read(&reference("expected.safetensors")).unwrap();
    for name in [
        "zip.pt",
        "legacy.pth",
        "under_state_dict.pt",
        "under_model.bin",
    ] {
        let path = reference(name);
        let got = Checkpoint::read(&path).unwrap();
        assert_same_tensors(&got, &expected);
        assert_eq!(got.origin(), path.display().to_string());
    }
}

#[test]
fn a_converted_checkpoint_is_a_safetensors_file() {
    let got = Checkpoint::read(&reference("zip.pt")).unwrap();
    let reread = Checkpoint::from_bytes(got.bytes().to_vec(), "copy").unwrap();
    assert_same_tensors(&reread, &got);
    assert_eq!(reread.metadata()["format"], "pt");
    let counter = "features.1.num_batches_tracked";
    assert_eq!(got.dtype(counter).unwrap(), Dtype::I64);
    assert_eq!(got.raw(counter).unwrap(), 7i64.to_le_bytes());
}

#[test]
fn a_saved_module_gives_its_state_dict() {
    let got = Checkpoint::read(&reference("module.pt")).unwrap();
    let names: Vec<_> = got.names().collect();
    let expected = [
        "0.bias",
        "0.weight",
        "2.bias",
        "2.num_batches_tracked",
        "2.running_mean",
        "2.running_var",
        "2.weight",
    ];
    assert_eq!(names, expected);
    assert_eq!(got.shape("0.weight").unwrap(), [3, 2]);
    assert_eq!(got.tensor("2.running_var").unwrap(), [1.0; 3]);
}

#[test]
fn pickles_that_ask_for_more_than_tensors_are_refused() {
    let refusals: [(&str, &[&str]); 8] = [
        (
            "call_beside.pt",
            &["call_beside.pt", "PyTorch", "posix.system", "`hook`"],
        ),
        (
            "call_outside.pth",
            &["call_outside.pth", "posix.system", "`hook.0`"],
        ),
        ("call_only.pt", &["call_only.pt", "posix.system"]),
        (
            "nan.pt",
            &["nan.pt", "tensor `0.weight` holds NaN at position 1"],
        ),
        (
            "expanded.pt",
            &[
                "expanded.pt",
                "tensor `0.weight` of shape [1048576]",
                "8 times the file",
            ],
        ),
        (
            "complex.pt",
            &["complex.pt", "`0.weight` has elements of type complex64"],
        ),
        ("no_tensors.pt", &["no_tensors.pt", "holds no tensors"]),
        (
            "list.pt",
            &[
                "list.pt",
                "expected a dictionary of tensors or a module, got a list of torch.Tensor",
            ],
        ),
    ];
    for (name, words) in refusals {
        assert_refused(Checkpoint::read(&reference(name)), words);
    }
}
