pub(crate) mod column;
