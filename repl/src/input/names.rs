//! What completion offers: keywords, functions, and the names of the server's objects.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use weir_sql::dialect;

use crate::client::{RequestContext, ServerClient};

/// Names that can be completed, shared between the editor and the refresh after each statement.
#[derive(Clone, Debug, Default)]
pub struct Names {
    names: Arc<Mutex<Vec<String>>>,
}

impl Names {
    /// Names that begin with `prefix`, any case, sorted. Keywords and functions follow the case of the prefix.
    pub fn matching(&self, prefix: &str) -> Vec<String> {
        let upper = prefix.to_ascii_uppercase();
        let lower_case = prefix.chars().any(|c| c.is_ascii_lowercase());
        let mut found: Vec<String> = dialect::RESERVED
            .iter()
            .chain(&dialect::NON_RESERVED)
            .filter(|k| k.starts_with(&upper))
            .map(|k| if lower_case { k.to_ascii_lowercase() } else { (*k).to_owned() })
            .collect();
        if let Ok(names) = self.names.lock() {
            found.extend(
                names.iter().filter(|n| n.to_ascii_uppercase().starts_with(&upper)).map(|n| {
                    if lower_case && !n.starts_with('`') { n.to_ascii_lowercase() } else { n.clone() }
                }),
            );
        }
        found.sort();
        found.dedup();
        found
    }

    /// Asks the server for its streams, tables (with their columns), topics and functions. Failures leave the names as they were.
    pub async fn refresh(&self, client: &ServerClient) {
        let context = RequestContext::default();
        let sql = "SHOW STREAMS EXTENDED; SHOW TABLES EXTENDED; SHOW TOPICS; SHOW FUNCTIONS;";
        let Ok(entities) = client.execute(sql, &context).await else { return };
        let mut found = Vec::new();
        for entity in &entities {
            for description in entity["sourceDescriptions"].as_array().into_iter().flatten() {
                push_name(&description["name"], &mut found);
                for field in description["fields"].as_array().into_iter().flatten() {
                    push_name(&field["name"], &mut found);
                }
            }
            for list in ["topics", "functions"] {
                for item in entity[list].as_array().into_iter().flatten() {
                    push_name(&item["name"], &mut found);
                }
            }
        }
        found.sort();
        found.dedup();
        if let Ok(mut names) = self.names.lock() {
            *names = found;
        }
    }
}

fn push_name(name: &Value, found: &mut Vec<String>) {
    if let Some(name) = name.as_str() {
        let plain = dialect::is_plain_identifier(name) && name.to_ascii_uppercase() == name;
        found.push(if plain { name.to_owned() } else { format!("`{name}`") });
    }
}
