//! Candidates of completion: keywords, functions, and the names of the server's objects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use weir_sql::dialect;
use weir_sql::format::Format;

use crate::client::{RequestContext, ServerClient};
use crate::input::slot::Slot;
use crate::input::syntax;

/// A prompt waits this long for new names; later ones are there for the next.
const PROMPT_WAITS: Duration = Duration::from_millis(200);
/// A server that does not answer is not asked again before this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Properties of WITH that people write; the others are for registries.
const PROPERTIES: [&str; 16] = [
    "FORMAT",
    "KAFKA_TOPIC",
    "KEY_DELIMITER",
    "KEY_FORMAT",
    "PARTITIONS",
    "REPLICAS",
    "RETENTION_MS",
    "CLEANUP_POLICY",
    "TIMESTAMP",
    "TIMESTAMP_FORMAT",
    "VALUE_DELIMITER",
    "VALUE_FORMAT",
    "VALUE_SCHEMA_ID",
    "WINDOW_SIZE",
    "WINDOW_TYPE",
    "WRAP_SINGLE_VALUE",
];

/// Names that can be completed, shared between the editor and the refresh after each statement.
#[derive(Clone, Debug, Default)]
pub struct Names {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    names: ServerNames,
    /// An answer of the server is awaited.
    refreshing: bool,
}

/// The names of a server's objects.
#[derive(Debug, Default)]
struct ServerNames {
    /// Sources, columns, topics and functions; sorted.
    all: Vec<String>,
    /// Columns by source.
    columns: BTreeMap<String, Vec<String>>,
    streams: Vec<String>,
    tables: Vec<String>,
    functions: Vec<String>,
    queries: Vec<String>,
    settings: Vec<String>,
    /// As they are, not as SQL spells them.
    topics: Vec<String>,
}

impl Names {
    /// Candidates for this slot that begin with `prefix`, sorted. `before` is the statement before it.
    pub fn candidates(&self, slot: Slot, before: &str, prefix: &str) -> Vec<String> {
        let typed = if prefix.is_empty() { before } else { prefix };
        let words = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            spelled_like(typed, &words)
        };
        let mut found = {
            let Ok(known) = self.known.lock() else { return Vec::new() };
            let names = &known.names;
            let sources = || spelled_like(typed, &[&names.streams[..], &names.tables].concat());
            match slot {
                Slot::Nothing => Vec::new(),
                Slot::Any if prefix.is_empty() => Vec::new(),
                Slot::Any => {
                    drop(known);
                    return self.matching(prefix);
                }
                Slot::Source => sources(),
                Slot::Described => [sources(), words(&["FUNCTION", "STREAMS", "TABLES"])].concat(),
                Slot::Stream => spelled_like(typed, &names.streams),
                Slot::Table => spelled_like(typed, &names.tables),
                Slot::Function => spelled_like(typed, &names.functions),
                Slot::Query => [names.queries.clone(), words(&["ALL"])].concat(),
                Slot::Explained => [names.queries.clone(), words(&["SELECT"])].concat(),
                Slot::StatementName => spelled_like(typed, &statement_names(before)),
                Slot::Words(known) => words(known),
                Slot::Property => words(&PROPERTIES),
                Slot::Format => Format::BUILT_IN.map(|format| format.name().to_owned()).to_vec(),
                Slot::Setting => names.settings.clone(),
                Slot::OffsetReset => ["earliest", "latest"].map(str::to_owned).to_vec(),
                Slot::Topic => names.topics.clone(),
            }
        };
        found.retain(|name| starts_with(name, prefix));
        found.sort();
        found.dedup();
        found
    }

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
        if let Ok(known) = self.known.lock() {
            let names = spelled_like(prefix, &known.names.all);
            found.extend(names.into_iter().filter(|name| starts_with(name, prefix)));
        }
        found.sort();
        found.dedup();
        found
    }

    /// The columns of a source that begin with `prefix`; `qualifier` is its name, or its alias in the statement.
    pub fn columns(&self, qualifier: &str, statement: &str, prefix: &str) -> Vec<String> {
        let Ok(known) = self.known.lock() else { return Vec::new() };
        let source = |name: &str| {
            let upper = name.to_ascii_uppercase();
            known.names.columns.iter().find(|(source, _)| source.to_ascii_uppercase() == upper)
        };
        let found = source(qualifier).or_else(|| source(aliased(qualifier, statement)?));
        let columns = found.map(|(_, columns)| columns.as_slice()).unwrap_or_default();
        spelled_like(if prefix.is_empty() { qualifier } else { prefix }, columns)
            .into_iter()
            .filter(|column| prefix.is_empty() || starts_with(column, prefix))
            .collect()
    }

    /// Asks the server for its names, and waits a moment for the answer. Failures leave the names as they were.
    pub async fn refresh(&self, client: &ServerClient) {
        match self.known.lock() {
            Ok(mut known) if !known.refreshing => known.refreshing = true,
            _ => return,
        }
        let (names, client) = (self.clone(), client.clone());
        let asking = tokio::spawn(async move {
            let asked = tokio::time::timeout(ANSWER_WITHIN, ask(&client)).await.ok().flatten();
            if let Ok(mut known) = names.known.lock() {
                known.refreshing = false;
                if let Some(asked) = asked {
                    known.names = asked;
                }
            }
        });
        // The answer is taken whenever it comes.
        let _ = tokio::time::timeout(PROMPT_WAITS, asking).await;
    }
}

/// Rests of the statement names that begin with the words after `\h` in `before`.
fn statement_names(before: &str) -> Vec<String> {
    let words: Vec<&str> = before.split_whitespace().skip_while(|word| *word != "\\h").skip(1).collect();
    let typed: String = words.iter().map(|word| format!("{} ", word.to_ascii_uppercase())).collect();
    syntax::names().filter_map(|name| name.strip_prefix(&typed)).map(str::to_owned).collect()
}

async fn ask(client: &ServerClient) -> Option<ServerNames> {
    let context = RequestContext::default();
    let sql = "SHOW STREAMS EXTENDED; SHOW TABLES EXTENDED; SHOW TOPICS; SHOW FUNCTIONS; SHOW QUERIES; \
               SHOW PROPERTIES;";
    let entities = client.execute(sql, &context).await.ok()?;
    let mut names = ServerNames::default();
    let mut all = Vec::new();
    for entity in &entities {
        for description in entity["sourceDescriptions"].as_array().into_iter().flatten() {
            let fields = description["fields"].as_array().into_iter().flatten();
            let fields: Vec<String> = fields.filter_map(|field| spelled(&field["name"])).collect();
            all.extend(fields.iter().cloned());
            if let Some(name) = spelled(&description["name"]) {
                all.push(name.clone());
                match description["type"] == "TABLE" {
                    true => names.tables.push(name.clone()),
                    false => names.streams.push(name.clone()),
                }
                names.columns.insert(name, fields);
            }
        }
        for list in ["topics", "functions"] {
            let items = entity[list].as_array().into_iter().flatten();
            all.extend(items.filter_map(|item| spelled(&item["name"])));
        }
        let raw = |list: &str, member: &str| -> Vec<String> {
            let items = entity[list].as_array().into_iter().flatten();
            items.filter_map(|item| item[member].as_str().map(str::to_owned)).collect()
        };
        names.topics.extend(raw("topics", "name"));
        names.functions.extend(raw("functions", "name"));
        names.queries.extend(raw("queries", "id"));
        for name in raw("properties", "name") {
            // Queries know the settings of Kafka Streams without the prefix.
            names.settings.extend(name.strip_prefix("ksql.streams.").map(str::to_owned));
            names.settings.push(name);
        }
    }
    all.sort();
    all.dedup();
    names.all = all;
    Some(names)
}

/// A name as SQL must spell it.
fn spelled(name: &Value) -> Option<String> {
    let name = name.as_str()?;
    let plain = dialect::is_plain_identifier(name) && name.to_ascii_uppercase() == name;
    Some(if plain { name.to_owned() } else { format!("`{name}`") })
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.to_ascii_uppercase().starts_with(&prefix.to_ascii_uppercase())
}

/// The names, in lower case where what was typed is.
fn spelled_like(typed: &str, names: &[String]) -> Vec<String> {
    let lower_case = typed.chars().any(|c| c.is_ascii_lowercase());
    let spell = |name: &String| {
        if lower_case && !name.starts_with('`') { name.to_ascii_lowercase() } else { name.clone() }
    };
    names.iter().map(spell).collect()
}

/// The source that a statement calls `alias`: the word after FROM or JOIN that the alias follows.
fn aliased<'s>(alias: &str, statement: &'s str) -> Option<&'s str> {
    let is_separator = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | ';');
    let words: Vec<&str> = statement.split(is_separator).filter(|word| !word.is_empty()).collect();
    words.iter().enumerate().find_map(|(at, word)| {
        if !["FROM", "JOIN"].iter().any(|keyword| word.eq_ignore_ascii_case(keyword)) {
            return None;
        }
        let after = words.get(at + 2)?;
        let named = if after.eq_ignore_ascii_case("AS") { words.get(at + 3)? } else { after };
        named.eq_ignore_ascii_case(alias).then_some(words[at + 1])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_the_source_or_its_alias() {
        let names = Names::default();
        {
            let mut known = names.known.lock().expect("one thread");
            let names = &mut known.names;
            names.columns.insert("CLICKS".to_owned(), vec!["USER".to_owned(), "PAGE".to_owned()]);
            names.streams = vec!["CLICKS".to_owned()];
            names.tables = vec!["COUNTS".to_owned()];
            names.queries = vec!["CTAS_COUNTS_1".to_owned()];
            names.topics = vec!["clicks".to_owned()];
            names.all = vec!["CLICKS".to_owned(), "PAGE".to_owned(), "USER".to_owned()];
        }
        assert_eq!(names.columns("clicks", "SELECT clicks.", ""), ["user", "page"]);
        assert_eq!(names.columns("C", "SELECT C.P FROM clicks AS c", "P"), ["PAGE"]);
        assert_eq!(names.columns("x", "SELECT x. FROM a JOIN clicks x ON", "us"), ["user"]);
        assert!(names.columns("y", "SELECT y. FROM clicks x;", "").is_empty());
        assert_eq!(names.matching("clic"), ["clicks"]);
        assert_eq!(names.candidates(Slot::Source, "SELECT * FROM ", "c"), ["clicks", "counts"]);
        assert_eq!(names.candidates(Slot::Source, "SELECT * FROM ", ""), ["CLICKS", "COUNTS"]);
        assert_eq!(names.candidates(Slot::Stream, "DROP STREAM ", "C"), ["CLICKS"]);
        assert_eq!(names.candidates(Slot::Query, "terminate ", ""), ["CTAS_COUNTS_1", "all"]);
        assert_eq!(names.candidates(Slot::Topic, "PRINT '", "cl"), ["clicks"]);
        assert_eq!(names.candidates(Slot::Words(&["STREAMS", "TABLES"]), "show ", "s"), ["streams"]);
        assert!(names.candidates(Slot::Format, "", "J").contains(&"JSON".to_owned()));
        assert!(names.candidates(Slot::Any, "SELECT ", "").is_empty());
        assert_eq!(names.candidates(Slot::Explained, "EXPLAIN ", "C"), ["CTAS_COUNTS_1"]);
        assert_eq!(names.candidates(Slot::StatementName, "\\h ", "TERM"), ["TERMINATE"]);
        let created = names.candidates(Slot::StatementName, "\\h create ", "st");
        assert_eq!(created, ["stream", "stream as select"]);
    }
}
