//! DistilBERT on SST-2.
//!
//! Wrong development sentences are repaired; the right ones show which predictions stay. Guard and
//! drawdown are disjoint parts of the training set.

use std::rc::Rc;

use data::glue::{self, Split, Task};
use data::{TextDataset, Tokenizer};
use miette::IntoDiagnostic;
use network::Precision;

use super::measure::{Bench, NARROW};
use super::score::{answers, wrong};
use super::world::{World, say};

const SPLIT_SEED: u64 = 0;
/// Training sentences of the guard set, those held out, and those on which a layer is chosen.
const TRAINING: [usize; 3] = [600, 1000, 300];

/// DistilBERT (MiniLM's weights); misclassified development sentences are repaired.
pub(super) fn distilbert(world: &World) -> miette::Result<Rc<Bench>> {
    world.benches.get("distilbert sst-2", || {
        let folder = world.path("distilbert_minilm_sst2");
        let subject = world.subject("distilbert_minilm_sst2/model.safetensors", Precision::F32)?;
        let tokenizer = Tokenizer::load(&folder).into_diagnostic()?;
        say("loads SST-2");
        let load = |split| glue::load(&world.path("glue"), Task::Sst2, split).into_diagnostic();
        let encode = |texts: &TextDataset, positions: &[usize]| {
            let texts = texts.subset(positions).into_diagnostic()?;
            texts.encode(&tokenizer).into_diagnostic().map(Rc::new)
        };
        let train = load(Split::Train)?;
        let [guard, held_out, selection] =
            data::draw(train.len(), TRAINING, SPLIT_SEED).into_diagnostic()?;
        let development = load(Split::Validation)?;
        let all: Vec<usize> = (0..development.len()).collect();
        let pool = encode(&development, &all)?;
        let wrong = wrong(&answers(&subject.network, &pool)?, &pool.labels);
        let right: Vec<usize> = all.into_iter().filter(|i| !wrong.contains(i)).collect();
        Ok(Bench {
            name: "distilbert sst-2".to_owned(),
            guard: encode(&train, &guard)?,
            held_out: encode(&train, &held_out)?,
            steady: Some(Rc::new(pool.subset(&right).into_diagnostic()?)),
            subject,
            pool,
            wrong,
            counts_shared: false,
            margin: NARROW,
            selection: None,
            clean: Some(encode(&train, &selection)?),
            like: None,
            similar: None,
        })
    })
}
