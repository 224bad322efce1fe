//! Reading statements from people.

pub mod continuation;
pub mod editor;
pub mod helper;
pub mod interrupts;
pub mod names;
pub mod password;
pub mod slot;
pub mod syntax;
pub mod words;
