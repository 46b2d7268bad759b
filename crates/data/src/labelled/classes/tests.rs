use super::*;

fn texts(names: &[&str]) -> RawLabels {
    names.iter().map(|&name| RawLabel::of_text(name)).collect()
}

fn numbers(numbers: &[u64]) -> RawLabels {
    numbers
        .iter()
        .map(|&number| RawLabel::Number(number))
        .collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn table(outputs: &Outputs<'_>, sets: &[&RawLabels]) -> Result<ClassTable, String> {
    let name = |set: usize, position: usize| format!("set {set}[{position}]");
    ClassTable::of_labels(outputs, sets, &name).map_err(|error| error.to_string())
}

/// The class of each example of the first set.
fn classes(outputs: &Outputs<'_>, sets: &[&RawLabels]) -> Result<Vec<usize>, String> {
    let table = table(outputs, sets)?;
    let class = |i| table.answer(sets[0].get(i)).unwrap();
    Ok((0..sets[0].len()).map(class).collect())
}

const GLUE: [&str; 3] = ["entailment", "neutral", "contradiction"];

/// Numbers with the names that GLUE's files give them.
fn glue(labels: &[u64], called: &[&str]) -> RawLabels {
    let mut labels = numbers(labels);
    labels.name_numbers(names(called));
    labels
}

#[test]
fn the_networks_names_come_first_whatever_the_case_and_the_spaces() {
    let named = names(&["NOT_CAT", "CAT", "sea  snake"]);
    let outputs = Outputs::new(3, &named);
    let set = texts(&["cat", "Not-Cat", "sea_snake", "not cat"]);
    assert_eq!(classes(&outputs, &[&set]), Ok(vec![1, 0, 2, 0]));
    let table = table(&outputs, &[&set]).unwrap();
    assert_eq!(table.how(), "names are those of the network's outputs");
    let rows: Vec<_> = table
        .rows()
        .iter()
        .map(|row| (&row.label[..], row.class, row.name.as_deref(), row.examples))
        .collect();
    assert_eq!(
        rows,
        [
            ("Not-Cat", 0, Some("NOT_CAT"), 1),
            ("not cat", 0, Some("NOT_CAT"), 1),
            ("cat", 1, Some("CAT"), 1),
            ("sea_snake", 2, Some("sea  snake"), 1),
        ]
    );
}

#[test]
fn each_part_of_a_name_with_commas_is_a_name_unless_it_is_ambiguous() {
    let named = names(&[
        "tench, Tinca tinca",
        "crane",
        "crane, hoist",
        "maillot",
        "maillot, tank suit",
    ]);
    let outputs = Outputs::new(5, &named);
    let set = texts(&[
        "tinca_tinca",
        "tench",
        "tench, Tinca tinca",
        "hoist",
        "crane",
        "tank suit",
    ]);
    assert_eq!(classes(&outputs, &[&set]), Ok(vec![0, 0, 0, 2, 1, 4]));
    let twice = names(&["crane", "crane"]);
    let error = classes(&Outputs::new(2, &twice), &[&texts(&["crane"])]).unwrap_err();
    assert!(error.contains("the name of outputs [0, 1]"), "{error}");
}

#[test]
fn wordnet_ids_are_ilsvrcs_classes_for_a_thousand_outputs_only() {
    let set = texts(&["n15075141", "n01440764"]);
    assert_eq!(classes(&Outputs::new(1000, &[]), &[&set]), Ok(vec![999, 0]));
    // For two outputs they are names like any others.
    assert_eq!(classes(&Outputs::new(2, &[]), &[&set]), Ok(vec![1, 0]));
    let error = classes(&Outputs::new(10, &[]), &[&set]).unwrap_err();
    assert!(error.contains("got \"n15075141\" (set 0[0])"), "{error}");
}

#[test]
fn glues_numbers_are_read_by_name_where_the_network_has_the_names() {
    let set = glue(&[0, 1, 2], &GLUE);
    for order in [[1, 2, 0], [2, 1, 0], [0, 1, 2], [0, 2, 1]] {
        let mut named = vec![String::new(); 3];
        for (name, class) in GLUE.iter().zip(order) {
            named[class] = name.to_uppercase();
        }
        let outputs = Outputs::new(3, &named);
        assert_eq!(classes(&outputs, &[&set]), Ok(order.to_vec()), "{named:?}");
        // Names need no order.
        let by_name = texts(&GLUE);
        assert_eq!(classes(&outputs, &[&by_name, &set]), Ok(order.to_vec()));
        let how = table(&outputs, &[&set]).unwrap().how().to_owned();
        let moved = order != [0, 1, 2];
        assert_eq!(
            how.contains("in another order than outputs"),
            moved,
            "{how}"
        );
    }
    let unnamed = names(&["LABEL_0", "LABEL_1", "LABEL_2"]);
    let outputs = Outputs::new(3, &unnamed);
    assert_eq!(classes(&outputs, &[&set]), Ok(vec![0, 1, 2]));
    assert_eq!(classes(&outputs, &[&texts(&GLUE)]), Ok(vec![0, 1, 2]));
    // Other names say nothing about the order: numbers are numbers, and both are told.
    let other = names(&["yes", "maybe", "no"]);
    let how = table(&Outputs::new(3, &other), &[&set])
        .unwrap()
        .how()
        .to_owned();
    assert!(
        how.contains("the sets call them entailment") && how.contains("yes, maybe, no"),
        "{how}"
    );
}

#[test]
fn names_that_agree_in_part_and_contradict_numbers_are_refused() {
    let set = glue(&[0, 1, 2], &GLUE);
    let some = names(&["contradiction", "other", "entailment"]);
    let error = classes(&Outputs::new(3, &some), &[&set]).unwrap_err();
    assert!(
        error.contains("called \"neutral\", which is no output's name"),
        "{error}"
    );
    // Where those that match agree with their numbers, the others may.
    let agree = names(&["entailment", "other", "contradiction"]);
    assert_eq!(
        classes(&Outputs::new(3, &agree), &[&set]),
        Ok(vec![0, 1, 2])
    );
}

#[test]
fn two_sets_may_not_mean_two_classes_by_one_number() {
    let named = names(&["contradiction", "entailment", "neutral"]);
    let outputs = Outputs::new(3, &named);
    let (of_glue, plain) = (glue(&[0, 1], &GLUE), numbers(&[2, 0]));
    let error = classes(&outputs, &[&of_glue, &plain]).unwrap_err();
    assert!(
        error.starts_with("label 0: class 1 in one set, but class 0 in another"),
        "{error}"
    );
    // However it is written.
    let error = classes(&outputs, &[&of_glue, &texts(&["0"])]).unwrap_err();
    assert!(error.contains("class 0 in another"), "{error}");
    // Names do not contradict numbers.
    let by_name = texts(&["neutral", "entailment"]);
    assert_eq!(classes(&outputs, &[&by_name, &plain]), Ok(vec![2, 1]));
}

#[test]
fn glues_names_have_one_order_or_the_task_must_be_said() {
    let outputs = Outputs::new(2, &[]);
    assert_eq!(
        classes(&outputs, &[&texts(&["equivalent", "not_equivalent"])]),
        Ok(vec![1, 0])
    );
    assert_eq!(
        classes(&outputs, &[&texts(&["positive", "negative"])]),
        Ok(vec![1, 0])
    );
    let set = texts(&["not_entailment", "entailment"]);
    let error = classes(&outputs, &[&set]).unwrap_err();
    assert!(error.contains("say which task this is"), "{error}");
    for (task, expected) in [
        (crate::glue::Task::Rte, [1, 0]),
        (crate::glue::Task::Wnli, [0, 1]),
    ] {
        let mut set = set.clone();
        set.name_numbers(names(task.info().classes));
        assert_eq!(classes(&outputs, &[&set]), Ok(expected.to_vec()), "{task}");
    }
}

#[test]
fn numbers_are_numbers_whatever_their_order_as_texts() {
    let folders: Vec<String> = (0..12).map(|i| i.to_string()).collect();
    let mut sorted: Vec<&str> = folders.iter().map(|name| &name[..]).collect();
    sorted.sort_unstable();
    let outputs = Outputs::new(12, &[]);
    let expected: Vec<usize> = sorted.iter().map(|name| name.parse().unwrap()).collect();
    assert_eq!(classes(&outputs, &[&texts(&sorted)]), Ok(expected));
    assert_eq!(classes(&outputs, &[&texts(&["3.0", "07"])]), Ok(vec![3, 7]));
    for (bad, hint) in [
        (&[1, 12][..], "1 less would fit, and is not assumed"),
        (&[12], "got 12"),
        (&[0, 12], "got 12"),
        (&[u64::MAX, 0], "got 18446744073709551615"),
    ] {
        let error = classes(&outputs, &[&numbers(bad)]).unwrap_err();
        assert!(error.contains(hint), "{error}");
    }
    let less = Outputs {
        offset: -1,
        ..outputs
    };
    assert_eq!(classes(&less, &[&numbers(&[1, 12])]), Ok(vec![0, 11]));
    assert!(classes(&less, &[&numbers(&[0])]).is_err());
    assert!(
        table(&less, &[&numbers(&[1])])
            .unwrap()
            .how()
            .ends_with("outputs less 1")
    );
}

#[test]
fn digits_may_be_names_of_outputs() {
    let stars = names(&["1", "2", "3"]);
    let outputs = Outputs::new(3, &stars);
    assert_eq!(classes(&outputs, &[&texts(&["3", "1"])]), Ok(vec![2, 0]));
    // 0 is no name: then all digits are numbers.
    assert_eq!(classes(&outputs, &[&texts(&["0", "1"])]), Ok(vec![0, 1]));
    let error = classes(&outputs, &[&texts(&["1"]), &numbers(&[1])]).unwrap_err();
    assert!(error.contains("class 0 in one set, but class 1"), "{error}");
}

#[test]
fn as_many_names_as_outputs_are_in_alphabetical_order_over_all_sets() {
    let outputs = Outputs::new(3, &[]);
    let (some, others) = (texts(&["dog", "ant"]), texts(&["dog", "cat"]));
    assert_eq!(classes(&outputs, &[&some, &others]), Ok(vec![2, 0]));
    // An empty folder is a class too.
    let mut with_empty = some.clone();
    with_empty.declare(RawLabel::Text("cat".into()));
    assert_eq!(classes(&outputs, &[&with_empty]), Ok(vec![2, 0]));
    let error = classes(&outputs, &[&some]).unwrap_err();
    assert!(error.ends_with("all sets together have 2 names"), "{error}");
    let error = classes(&outputs, &[&some, &others, &numbers(&[0])]).unwrap_err();
    assert!(
        error.ends_with("some sets name classes and others number them"),
        "{error}"
    );
    let named = names(&["ant", "bee", "cat"]);
    let error = classes(&Outputs::new(3, &named), &[&some, &others]).unwrap_err();
    assert!(
        error.contains("expected one of ant, bee, cat, or a class below 3, got \"dog\""),
        "{error}"
    );
}

#[test]
fn several_labels_are_lists_in_cells_and_each_has_a_row() {
    let named = names(&["red", "green", "blue"]);
    let outputs = Outputs {
        several: true,
        ..Outputs::new(3, &named)
    };
    let set = texts(&["red;blue", "GREEN", " blue | red ", "2;0"]);
    assert_eq!(classes(&outputs, &[&set]), Ok(vec![5, 2, 5, 5]));
    let table = table(&outputs, &[&set]).unwrap();
    assert_eq!((table.answers(), table.several()), (8, true));
    let counted: Vec<_> = table
        .rows()
        .iter()
        .map(|row| (&row.label[..], row.examples))
        .collect();
    assert_eq!(
        counted,
        [("0", 1), ("red", 2), ("GREEN", 1), ("2", 1), ("blue", 2)]
    );
    let error = classes(&outputs, &[&texts(&["red;pink"])]).unwrap_err();
    assert!(error.contains("expected lists of classes"), "{error}");
    let many = Outputs {
        several: true,
        ..Outputs::new(64, &[])
    };
    assert!(classes(&many, &[&set]).unwrap_err().contains("at most 63"));
    let most = Outputs {
        several: true,
        ..Outputs::new(63, &[])
    };
    assert_eq!(classes(&most, &[&texts(&["62"])]), Ok(vec![1 << 62]));
}

#[test]
fn every_label_that_cannot_be_read_is_listed_with_an_example() {
    let set: RawLabels = (0..30).map(|i| RawLabel::Number(i % 15)).collect();
    let error = classes(&Outputs::new(3, &[]), &[&set]).unwrap_err();
    assert!(
        error.starts_with(
            "labels: expected a class below 3, got 3 (set 0[3] and 1 more), 4 (set 0[4] and"
        ),
        "{error}"
    );
    assert!(error.ends_with(" and 2 more"), "{error}");
}

#[test]
fn the_table_is_stored_with_how_it_was_decided() {
    let table = table(&Outputs::new(2, &[]), &[&numbers(&[1, 0, 1])]).unwrap();
    assert_eq!(
        serde_json::to_string(&table).unwrap(),
        r#"{"how":"numbers are numbers of outputs","rows":[{"label":"0","class":0,"name":null,"examples":1},{"label":"1","class":1,"name":null,"examples":2}],"several":false}"#
    );
    let none = RawLabels::absent(2);
    let table = super::tests::table(&Outputs::new(2, &[]), &[&none]).unwrap();
    assert_eq!(
        (table.how(), table.rows().len()),
        ("there are no labels to read", 0)
    );
}
