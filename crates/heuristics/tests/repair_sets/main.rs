//! Profiles and samples of repair sets, and which of their points to leave out.

#[path = "../layer_scores/fixture.rs"]
#[allow(dead_code)]
mod fixture;

mod drops;
mod pooled;
mod samples;
