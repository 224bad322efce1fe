//! The language, against its conformance cases and golden plans: one binary, so that it is linked once.

mod conformance_plans;
mod parse_conformance;
mod parse_properties;
mod plan_goldens;
mod planning;
