//! Hostile pickles: what they ask for beyond tensors, and how much of the machine they want.

use model::{Checkpoint, ModelError};
use proptest::prelude::*;

use crate::archive::{Entry, Tensor, archive, int, saved, state_dict, text};
use crate::{assert_refused, network, read, reference};

/// A lie about a tensor, the bytes of its storage, and what the refusal says.
type TensorLie = (fn(&mut Tensor), usize, &'static [&'static str]);

/// A lie about an archive, and what the refusal says.
type ArchiveLie = (fn(&mut Vec<Entry>), &'static str);

/// A readable file with instructions in front of its weights.
fn with_instructions(instructions: &[u8]) -> Vec<u8> {
    let pickle = state_dict(&[("0.weight", Tensor::new("0", &[1, 2]))]);
    let pickle = [&pickle[..2], instructions, &pickle[2..]].concat();
    archive(&saved(&pickle, &[("0", &[0; 8])]))
}

fn refusal(bytes: &[u8]) -> String {
    read(bytes).expect_err("a refusal").to_string()
}

#[test]
fn the_file_without_instructions_is_read() {
    let got = read(&with_instructions(b"")).unwrap();
    assert_eq!(got.shape("0.weight").unwrap(), [1, 2]);
    // Data that is dropped is no request.
    for harmless in [
        &b"]0"[..],
        b"K\x010",
        b"ctorch\nfloat32\n0",
        b"(0",
        b"ctorch\nSize\n()tR0",
    ] {
        read(&with_instructions(harmless)).unwrap();
    }
}

#[test]
fn functions_that_are_called_or_named_and_dropped_are_refused_by_name() {
    let call = [b"cos\nsystem\n", &text("touch x")[..], b"\x85R0"].concat();
    let stacked = [&text("os")[..], &text("system"), b"\x93)R0"].concat();
    let short = b"\x8c\x02os\x8c\x06system\x930";
    let object = [b"(cos\nsystem\n", &text("touch x")[..], b"o0"].concat();
    let instance = [b"(", &text("touch x")[..], b"ios\nsystem\n0"].concat();
    let from_memo = b"cos\nsystem\nq\x000h\x00)R0";
    let as_key = b"}cos\nsystem\nK\x01s0";
    let in_tuple = b"cos\nsystem\n\x850";
    let reconstructed = b"ccopy_reg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR0";
    let changed = b"cos\nsystem\n}b0";
    for instructions in [
        &call[..],
        &stacked,
        short,
        &object,
        &instance,
        from_memo,
        as_key,
        in_tuple,
        reconstructed,
        changed,
        b"cos\nsystem\n)\x810",
        b"cos\nsystem\n)}\x920",
        b"cos\nsystem\n0",
    ] {
        let said = refusal(&with_instructions(instructions));
        assert!(said.contains("`os.system`"), "{instructions:?}: {said}");
    }
}

#[test]
fn names_that_lead_out_of_torch_are_refused() {
    for (module, name) in [
        ("builtins", "eval"),
        ("__builtin__", "getattr"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch.nn.modules.linear", "torch.os.system"),
        ("torch._utils", "sys.modules"),
        ("numpy.testing", "runstring"),
        ("pathlib", "os.system"),
    ] {
        let instructions = format!("c{module}\n{name}\n0");
        let said = refusal(&with_instructions(instructions.as_bytes()));
        assert!(said.contains(&format!("`{module}.{name}`")), "{said}");
    }
}

#[test]
fn classes_of_torch_are_data_and_no_functions() {
    for (class, call) in [
        ("torch.nn.modules.linear\nLinear", ")R0"),
        ("torch.nn.functional\nrelu", ")R0"),
        ("torch\nfloat32", ")R0"),
        ("torch\nFloatStorage", ")R0"),
        ("torch.optim.sgd\nSGD", "(K\x01tR0"),
    ] {
        read(&with_instructions(format!("c{class}\n0").as_bytes())).unwrap();
        let said = refusal(&with_instructions(format!("c{class}\n{call}").as_bytes()));
        assert!(
            said.contains(&format!("`{}`", class.replace('\n', "."))),
            "{said}"
        );
    }
}

#[test]
fn classes_of_the_user_are_those_of_modules_alone() {
    let net = "(c__main__\nNet\no";
    for (instructions, allowed) in [
        (
            format!("{net}}}(X\x0b\0\0\0_parameters}}X\x08\0\0\0_modules}}ub0"),
            true,
        ),
        (format!("{net}0"), false),
        (format!("{net}}}b0"), false),
        (
            format!("{net}}}(X\x0b\0\0\0_parametersNX\x08\0\0\0_modulesNub0"),
            false,
        ),
        (
            "c__main__\nNet\n)R}(X\x0b\0\0\0_parameters}X\x08\0\0\0_modules}ub0".to_owned(),
            false,
        ),
        ("c__main__\nNet\n0".to_owned(), false),
    ] {
        match read(&with_instructions(instructions.as_bytes())) {
            Ok(_) => assert!(allowed, "{instructions}"),
            Err(error) => {
                assert!(!allowed, "{instructions}: {error}");
                assert!(error.to_string().contains("`__main__.Net`"), "{error}");
            }
        }
    }
}

#[test]
fn requests_weigh_more_than_damage() {
    let call = b"\x80\x02cos\nsystem\n)R";
    for damaged in [
        &call[..],
        &[&call[..], b"\xff"].concat(),
        &[&call[..], b"h\x63."].concat(),
    ] {
        let said = refusal(damaged);
        assert!(said.contains("`os.system`"), "{said}");
    }
    let legacy = std::fs::read(reference("legacy.pth")).unwrap();
    // In every pickle of the container: the facts about the machine come third.
    let version = b"\x80\x02M\xe9\x03.";
    let at = legacy
        .windows(6)
        .position(|found| found == version)
        .unwrap()
        + 6;
    let infected = [&legacy[..at], b"\x80\x02cos\nsystem\n)R.", &legacy[at..]].concat();
    assert!(refusal(&infected).contains("`os.system` at its top"));
}

#[test]
fn names_are_shown_without_their_control_characters() {
    let said = refusal(b"\x80\x02cos\x1b]0;owned\x07\nsystem\n)R.");
    assert!(said.contains("\\u{1b}") && !said.contains('\x1b'), "{said}");
    let long = format!("c{}\nf\n.", "m".repeat(5000));
    let said = refusal(&[b"\x80\x02", long.as_bytes()].concat());
    assert!(said.contains("…") && said.len() < 1000, "{said}");
    let key = [&b"\x80\x02}"[..], &text("\x1b[2J"), b"K\x01s."].concat();
    assert!(!refusal(&key).contains('\x1b'));
}

#[test]
fn pickles_that_want_memory_or_time_are_refused() {
    let nested = [b"\x80\x02", &b"]".repeat(3_000_000)[..], b"."].concat();
    let tuples = [b"\x80\x02]", &[0x85; 1_000_000][..], b"."].concat();
    let doubled = [b"\x80\x02K\x01", &b"2\x86".repeat(60)[..], b"."].concat();
    let dictionaries = {
        // Each dictionary holds the one before it twice: 2^40 names.
        let mut bytes = b"\x80\x02}q\x00".to_vec();
        for level in 0..40u8 {
            bytes.extend([b'}', b'q', level + 1, b'(']);
            bytes.extend([&text("a")[..], &[b'h', level], &text("b"), &[b'h', level]].concat());
            bytes.push(b'u');
        }
        bytes.push(b'.');
        bytes
    };
    let copied = {
        // A set of a long list, made again and again.
        let list = [&b"("[..], &b"N".repeat(100_000), b"lq\x000"].concat();
        let sets = b"c__builtin__\nset\n(h\x00tR0".repeat(1000);
        [b"\x80\x02", &list[..], &sets, b"N."].concat()
    };
    let encoded = {
        let long = [&text(&"x".repeat(100_000))[..], b"q\x000"].concat();
        let bytes = b"c_codecs\nencode\n(h\x00tR0".repeat(10_000);
        [b"\x80\x02", &long[..], &bytes, b"N."].concat()
    };
    let cases: [(&[u8], &str); 12] = [
        (&nested, "more than 2000000 values"),
        (&tuples, "got a tuple"),
        (&doubled, "got a tuple"),
        (&dictionaries, "holds no tensors"),
        (&copied, "more than 8000000 instructions"),
        (&encoded, "makes more bytes than it holds"),
        (
            b"\x80\x02X\xff\xff\xff\x7fa.",
            "2147483647 bytes are announced",
        ),
        (
            b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.",
            "bytes are announced",
        ),
        (b"\x80\x02\x8b\xff\xff\xff\xffa.", "bytes are announced"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "comes too early"),
        (b"\x80\x02Np4000000000\n.", "comes too early"),
        (b"\x80\x05\x97.", "buffers outside"),
    ];
    for (bytes, words) in cases {
        let started = std::time::Instant::now();
        let said = refusal(bytes);
        assert!(said.contains(words), "expected `{words}` in: {said}");
        assert!(started.elapsed().as_secs() < 10, "{words}");
    }
}

#[test]
fn tensors_in_dictionaries_of_dictionaries_have_a_limit() {
    // As above, with a tensor at the bottom.
    let mut bytes = b"\x80\x02}q\x00".to_vec();
    bytes.extend(text("w"));
    bytes.extend(Tensor::new("0", &[2]).pickled());
    bytes.push(b's');
    for level in 0..40u8 {
        bytes.extend([b'}', b'q', level + 1, b'(']);
        bytes.extend([&text("a")[..], &[b'h', level], &text("b"), &[b'h', level]].concat());
        bytes.push(b'u');
    }
    bytes.push(b'.');
    let said = refusal(&archive(&saved(&bytes, &[("0", &[0; 8])])));
    assert!(said.contains("entries"), "{said}");
    // A dictionary in itself.
    let cycle = [
        &b"\x80\x02}q\x00("[..],
        &text("a"),
        b"h\x00",
        &text("w"),
        &Tensor::new("0", &[2]).pickled(),
        b"u.",
    ]
    .concat();
    let said = refusal(&archive(&saved(&cycle, &[("0", &[0; 8])])));
    assert!(said.contains("deeper than 64 levels"), "{said}");
}

#[test]
fn stacks_and_marks_that_are_not_there_are_refused() {
    for pickle in [
        &b"."[..],
        b"0.",
        b"1.",
        b"2.",
        b"a.",
        b"s.",
        b"u.",
        b"t.",
        b"\x85.",
        b"(\x85.",
        b"R.",
        b"b.",
        b"\x93.",
        b"NN\x93.",
        b"NR.",
        b"NNR.",
        b"N)R.",
        b"Q.",
        b"NQ.",
        b"K.",
        b"q\x00.",
        b"h\x07.",
        b"}Ns.",
        b"}(Nu.",
        b"N)\x81.",
        b"]N}b.",
        b"Na.",
        b"Ne.",
        b"(Ne.",
        b"iab",
        b"ia\nb\n.",
        b"(o.",
        b"\xff.",
        b"\x82\x01.",
        b"I1x\n.",
        b"L--1\n.",
        b"Fx\n.",
        b"S'a\n.",
        b"V\\u00\n.",
        b"\x80\x06.",
    ] {
        let bytes = [b"\x80\x02", pickle].concat();
        assert!(read(&bytes).is_err(), "{pickle:?}");
    }
}

#[test]
fn tensors_that_lie_about_their_storage_are_refused_by_name() {
    let plain = Tensor::new("0", &[2, 2]);
    let read_with = |tensor: Tensor, content: &[u8]| -> Result<Checkpoint, ModelError> {
        let pickle = state_dict(&[("x.weight", tensor)]);
        read(&archive(&saved(&pickle, &[("0", content)])))
    };
    assert!(read_with(plain.clone(), &[0; 16]).is_ok());
    let lies: [TensorLie; 13] = [
        (
            |_| {},
            12,
            &["`x.weight` needs bytes 0 to 16 of storage `0`, which has 12"],
        ),
        (
            |t| t.count = 3,
            16,
            &["outside of its storage of 3 elements"],
        ),
        (|t| t.offset = 1, 16, &["offset 1 lies outside"]),
        (|t| t.offset = -1, 16, &["no offset of at least 0"]),
        (
            |t| t.shape = vec![-2, 2],
            16,
            &["extents and strides of at least 0"],
        ),
        (
            |t| t.strides = vec![2, -1],
            16,
            &["extents and strides of at least 0"],
        ),
        (|t| t.strides = vec![2], 16, &["2 extents and 1 strides"]),
        (
            |t| t.strides = vec![i32::MAX; 2],
            16,
            &["outside of its storage"],
        ),
        (|t| t.count = -4, 16, &["no storage"]),
        (
            |t| (t.shape, t.strides) = (vec![i32::MAX; 3], vec![0; 3]),
            16,
            &["`x.weight`", "8 times the file"],
        ),
        (|t| t.key = "1", 16, &["no entry `a/data/1`"]),
        (
            |t| t.class = "ComplexFloatStorage",
            32,
            &["`x.weight` has elements of type complex64"],
        ),
        (
            |t| t.class = "QInt8Storage",
            32,
            &["`x.weight` has elements of type qint8"],
        ),
    ];
    for (lie, length, words) in lies {
        let mut tensor = plain.clone();
        lie(&mut tensor);
        assert_refused(read_with(tensor, &vec![0; length]), words);
    }
    let double = Tensor {
        class: "DoubleStorage",
        ..plain
    };
    assert_refused(read_with(double, &[0; 16]), &["which has 16"]);
}

#[test]
fn archives_that_lie_are_refused() {
    let pickle = state_dict(&[("w", Tensor::new("0", &[64]))]);
    let honest = saved(&pickle, &[("0", &[0; 256])]);
    read(&archive(&honest)).unwrap();
    let lies: [ArchiveLie; 13] = [
        (|e| e[2].checksum ^= 1, "`a/data/0` has the checksum"),
        (|e| e[0].content[3] ^= 1, "`a/data.pkl` has the checksum"),
        (|e| e[2].length += 1, "`a/data/0` has two lengths"),
        (|e| e[2].flags = 1, "`a/data/0` is encrypted"),
        (|e| e[2].method = 9, "method 9"),
        (|e| e[2].method = 8, "`a/data/0`"),
        (
            |e| e[2].local_name = "a/data/1".to_owned(),
            "another name in its header",
        ),
        (|e| e[2].name = "a/data/1".to_owned(), "no entry `a/data/0`"),
        (|e| e.push(e[0].clone()), "`a/data.pkl` comes twice"),
        (
            |e| e.push(Entry::new("b/data.pkl", b".")),
            "expected one `data.pkl`",
        ),
        (
            |e| e[0].name = "a/b/data.pkl".to_owned(),
            "expected one `data.pkl`",
        ),
        (
            |e| e[1] = Entry::new("a/byteorder", b"middle"),
            "the byte order is `middle`",
        ),
        (
            |e| e.push(Entry::new("a/constants.pkl", b".")),
            "TorchScript",
        ),
    ];
    for (lie, words) in lies {
        let mut entries = honest.clone();
        lie(&mut entries);
        assert_refused(read(&archive(&entries)), &[words]);
    }
    let mut bare = honest.clone();
    bare.iter_mut().for_each(|entry| entry.checksum = 0);
    let got = read(&archive(&bare)).unwrap();
    assert!(
        got.notes()[0].text().contains("no checksums"),
        "{:?}",
        got.notes()
    );
    let whole = archive(&honest);
    assert_refused(
        read(&whole[..whole.len() - 1]),
        &["no directory at its end"],
    );
    let mut beyond = whole.clone();
    let start = beyond.len() - 6;
    beyond[start..start + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_refused(read(&beyond), &["outside of the file"]);
}

#[test]
fn archives_that_inflate_beyond_the_file_are_refused() {
    let pickle = state_dict(&[("w", Tensor::new("0", &[4]))]);
    let honest = saved(&pickle, &[("0", &[0; 16])]);
    let small: Vec<Entry> = honest.iter().cloned().map(Entry::deflated).collect();
    read(&archive(&small)).unwrap();

    let mut bomb = honest.clone();
    bomb[2] = Entry::new("a/data/0", &vec![0; 1 << 20]).deflated();
    assert_refused(read(&archive(&bomb)), &["`a/data/0`", "8 times the file"]);
    let mut long = honest.clone();
    long[0] = Entry::new("a/data.pkl", &vec![b'N'; 1 << 20]).deflated();
    long[0].length = u32::MAX - 1;
    assert_refused(
        read(&archive(&long)),
        &["`a/data.pkl` announces 4294967294 bytes"],
    );
    let mut more = honest.clone();
    more[2] = Entry::new("a/data/0", &[0; 4096]).deflated();
    more[2].length = 16;
    assert_refused(read(&archive(&more)), &["does not inflate to the 16 bytes"]);
    let mut less = honest;
    less[2] = Entry::new("a/data/0", &[0; 8]).deflated();
    less[2].length = 16;
    assert_refused(read(&archive(&less)), &["does not inflate to the 16 bytes"]);
}

#[test]
fn a_storage_inside_of_a_pickle_holds_no_other_one() {
    let whole = std::fs::read(network("pickle_4.pkl")).unwrap();
    read(&whole).unwrap();
    // The same in an archive, where storages lie beside the pickle.
    let entries = saved(&whole, &[]);
    assert_refused(read(&archive(&entries)), &["a storage holds another one"]);
    let none = [
        b"\x80\x02ctorch.storage\n_load_from_bytes\n".to_vec(),
        int(3),
        b"\x85R.".to_vec(),
    ]
    .concat();
    assert_refused(read(&none), &["a storage is read from no bytes"]);
}

/// An instruction that needs no bytes behind it, or one with its bytes.
fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let bare = prop::sample::select(
        b"(012NaeRbt}])lds\x85\x86\x87\x81\x92\x93\x8f\x90\x91\x94Qou.".to_vec(),
    );
    prop_oneof![
        8 => bare.prop_map(|opcode| vec![opcode]),
        2 => (prop::sample::select(b"qh".to_vec()), 0..4u8).prop_map(|(opcode, place)| vec![opcode, place]),
        2 => (0..4i32).prop_map(int),
        2 => prop::sample::select(vec!["storage", "0", "cpu", "state_dict", "_modules", "_parameters"]).prop_map(text),
        3 => prop::sample::select(vec![
            "ctorch._utils\n_rebuild_tensor_v2\n", "ctorch\nFloatStorage\n", "ccollections\nOrderedDict\n",
            "ctorch.nn.modules.linear\nLinear\n", "c__main__\nNet\n", "ccopyreg\n_reconstructor\n",
            "ctorch._utils\n_rebuild_parameter\n", "ctorch._tensor\n_rebuild_from_type_v2\n", "c__builtin__\nset\n",
        ]).prop_map(|name| name.as_bytes().to_vec()),
        1 => Just(Tensor::new("0", &[2]).pickled()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn programs_of_any_instructions_never_panic(program in prop::collection::vec(instruction(), 0..60)) {
        let pickle = [b"\x80\x02".to_vec(), program.concat(), b".".to_vec()].concat();
        let _ = read(&archive(&saved(&pickle, &[("0", &[0; 8])])));
    }
}
