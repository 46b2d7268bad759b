//! The scores, on networks for which the right answer is known by construction.

mod activations;
mod choice;
mod first_order;
mod fixture;
mod gradients;
mod refusals;
mod registry;
