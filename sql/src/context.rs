//! Surroundings of a statement: metastore, session, catalogs and functions.

use crate::catalog::{SchemaCatalog, TopicCatalog};
use crate::functions::registry::FunctionRegistry;
use crate::metastore::Metastore;
use crate::session::Session;

/// Everything a statement is analysed against.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub metastore: &'a Metastore,
    pub session: &'a Session,
    pub topics: &'a dyn TopicCatalog,
    pub schemas: &'a dyn SchemaCatalog,
    pub functions: &'a FunctionRegistry,
}
