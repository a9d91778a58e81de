//! For tests: fakes, a naive model of the decision, and worlds in which things fail. Never in a release.

pub mod crash;
pub mod disk;
pub mod edit;
pub mod model;
pub mod random;
pub mod render;
pub mod value;
pub mod vault;
pub mod when;
pub mod world;
pub mod worlds;
