//! docs/configuration.md, made from the tables of settings: `WEIR_UPDATE_PAGES=1` writes it anew.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches};
use weir_broker::config::{BrokerConfig, settings as broker};
use weir_broker::metadata::topic_config::{ConfigDefinition, DEFINITIONS};
use weir_broker::net::config::ListenerConfig;
use weir_engine::settings as queries;
use weir_server::config::{NodeConfig, ksql};
use weir_sql::session::{self, Scope, Session};

use crate::cli::args::Cli;
use crate::cli::config::default_address;
use crate::cli::settings::{IGNORED, SETTINGS};

const PAGE: &str = "docs/configuration.md";
const HEAD: &str = "\
# Configuration

Made from the tables of settings by `WEIR_UPDATE_PAGES=1 tests/cargo.sh test --lib -- settings_page`; the test fails if the
page is stale.

A setting comes from the first of these that has it:

1. its flag,
2. its environment variable,
3. a file: the one of `--config FILE`, or else `./weir.toml`, `~/.config/weir/weir.toml` and `/etc/weir/weir.toml`,
4. its default.

`weir config show --origin` prints every setting with its origin. Unknown names are errors.

A file is TOML with the keys below, where `node.data-dir` is the key `data-dir` in the section `[node]`. The names of Kafka's
`server.properties` and of ksqlDB's settings are keys, too, and a file that ends in `.properties` has the form of Kafka's.
Every key has a variable besides the one of its flag: `WEIR_NODE__DATA_DIR` for `node.data-dir`, `WEIR_NUM__PARTITIONS` for
`num.partitions`. Settings without a flag are given as `--override NAME=VALUE`.
";

/// Titles of the sections of a file.
const SECTIONS: [(&str, &str); 8] = [
    ("node", "The node"),
    ("http", "HTTP"),
    ("kafka", "Listeners of the Kafka protocol"),
    ("tls", "TLS"),
    ("sasl", "SASL"),
    ("oauth", "Bearer tokens"),
    ("audit", "Audit"),
    ("acl", "Access rules"),
];

/// Flags that are no settings of a file.
const OTHER_FLAGS: [&str; 2] = ["config", "overrides"];

fn code(text: impl Display) -> String {
    let text = text.to_string();
    if text.is_empty() { "–".to_owned() } else { format!("`{}`", text.replace('|', "\\|")) }
}

fn codes<T: Display>(texts: impl IntoIterator<Item = T>) -> String {
    let codes: Vec<String> = texts.into_iter().map(code).collect();
    if codes.is_empty() { "–".to_owned() } else { codes.join(", ") }
}

fn table(page: &mut String, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut line = |cells: Vec<String>| page.push_str(&format!("| {} |\n", cells.join(" | ")));
    line(columns.iter().map(|column| (*column).to_owned()).collect());
    line(columns.iter().map(|_| "---".to_owned()).collect());
    rows.into_iter().for_each(line);
}

/// True if `weir server` takes the value for the flag.
fn takes(flag: &Arg, value: &str) -> bool {
    let long = format!("--{}", flag.get_long().unwrap_or_default());
    Cli::command().try_get_matches_from(["weir", "server", &long, value]).is_ok()
}

/// The values of a flag, in words. Bounds of numbers are found by trying them.
fn values_of(flag: &Arg) -> String {
    let possible: Vec<String> =
        flag.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if matches!(flag.get_action(), ArgAction::SetTrue) {
        return "true or false".to_owned();
    }
    if !possible.is_empty() {
        return format!("one of {}", possible.join(", "));
    }
    match (takes(flag, "0"), takes(flag, "1"), takes(flag, "x")) {
        (true, true, false) => "at least 0".to_owned(),
        (false, true, false) => "at least 1".to_owned(),
        _ => codes(flag.get_value_names().unwrap_or_default()),
    }
}

fn default_of(flag: &Arg) -> String {
    let given: Vec<String> =
        flag.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if matches!(flag.get_action(), ArgAction::SetTrue) {
        return code("false");
    }
    let bare = Cli::command().try_get_matches_from(["weir"]).expect("no argument is needed");
    let node = Cli::from_arg_matches(&bare).expect("no argument is needed").node;
    let elsewhere = match flag.get_id().as_str() {
        "max_connections" => Some(ListenerConfig::default().connections_max.to_string()),
        id => default_address(id, &node),
    };
    code(if given.is_empty() { elsewhere.unwrap_or_default() } else { given.join(",") })
}

fn flag_row(flag: &Arg, key: &str, aliases: &[&str]) -> Vec<String> {
    let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
    vec![
        code(format!("--{}", flag.get_long().unwrap_or_default())),
        code(flag.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()),
        code(key),
        codes(aliases),
        default_of(flag),
        values_of(flag),
        help.replace('|', "\\|"),
    ]
}

fn flags(page: &mut String, server: &Command) {
    const COLUMNS: [&str; 7] =
        ["flag", "variable", "key", "name in Kafka or ksqlDB", "default", "values", "meaning"];
    let flag = |id: &str| server.get_arguments().find(|flag| flag.get_id() == id).expect("it has a flag");
    page.push_str("\n## Flags of `weir server`\n");
    for (section, title) in SECTIONS {
        page.push_str(&format!("\n### {title}\n\n"));
        let of_section = |name: &str| name.split_once('.').is_some_and(|(first, _)| first == section);
        let rows = SETTINGS.iter().filter(|setting| of_section(setting.name));
        table(page, &COLUMNS, rows.map(|s| flag_row(flag(s.id), s.name, s.aliases)));
    }
    page.push_str("\n### Files and further settings\n\n");
    table(page, &COLUMNS, OTHER_FLAGS.iter().map(|id| flag_row(flag(id), "", &[])));
    page.push_str(
        "\nUsers that exist from the start are also given in the variable `WEIR_CREDENTIALS`, `USER:PASSWORD` on each line. It \
         has no flag, for other users of the machine see command lines.\n",
    );
}

fn broker_settings(page: &mut String) {
    const COLUMNS: [&str; 4] = ["setting", "default", "values", "meaning"];
    let config = BrokerConfig::new("");
    let row = |setting: &broker::Setting| {
        let (default, values) = (code(setting.value(&config)), setting.kind.to_string());
        vec![code(setting.name), default, values, setting.documentation.to_owned()]
    };
    let (settable, fixed): (Vec<_>, Vec<_>) = broker::SETTINGS.iter().partition(|s| s.is_settable());
    page.push_str("\n## Settings of the broker\n\nNames are those of Kafka's `server.properties`.\n\n");
    table(page, &COLUMNS, settable.into_iter().map(row));
    page.push_str("\nThese are shown by DescribeConfigs; flags or the build decide their values.\n\n");
    table(page, &COLUMNS, fixed.into_iter().map(row));
    page.push_str(
        "\n## Defaults of topic settings\n\nThey hold for topics that do not set them, and can be changed while the broker runs \
         (`kafka-configs`).\n\n",
    );
    let of_topics = DEFINITIONS.iter().filter(|definition| !definition.broker_name.is_empty());
    let row = |d: &ConfigDefinition| {
        let (default, values) = (code(d.default), d.kind.to_string());
        vec![code(d.broker_name), code(d.name), default, values, d.documentation.to_owned()]
    };
    table(page, &["setting", "of topics", "default", "values", "meaning"], of_topics.map(row));
}

fn ksql_settings(page: &mut String) {
    let config = NodeConfig::new("");
    page.push_str("\n## Settings of the node under ksqlDB's names\n\n");
    let row = |s: &ksql::Setting| {
        let values = s.expected.trim_end_matches(',').to_owned();
        vec![code(s.name), code(s.value(&config)), values, s.documentation.to_owned()]
    };
    table(page, &["setting", "default", "values", "meaning"], ksql::SETTINGS.iter().map(row));

    page.push_str(
        "\n## Properties of sessions and queries\n\nThe node's configuration has the value for all requests. A request sets its own \
         with `SET 'NAME' = 'VALUE';` or in `streamsProperties`, except where the table says \"node\".\n\n",
    );
    let session = Session::default();
    let others = session::SETTINGS.iter().filter(|s| ksql::Setting::named(s.name).is_none());
    let of_sessions = others.map(|s| {
        let set_by = match s.scope {
            Scope::Request => "request",
            Scope::Node => "node",
        };
        let default = code(s.value(&session));
        vec![code(s.name), set_by.to_owned(), default, s.expected(), s.documentation.to_owned()]
    });
    let of_queries = queries::SETTINGS.iter().map(|s| {
        let names =
            [s.full_name()].into_iter().chain(s.other_name.map(|name| format!("ksql.streams.{name}")));
        let values = s.expected.to_owned();
        vec![codes(names), "request".to_owned(), code(s.default), values, s.documentation.to_owned()]
    });
    table(page, &["setting", "set by", "default", "values", "meaning"], of_sessions.chain(of_queries));
}

fn page() -> String {
    let command = Cli::command();
    let server = command.find_subcommand("server").expect("there is one");
    let mut page = HEAD.to_owned();
    flags(&mut page, server);
    broker_settings(&mut page);
    ksql_settings(&mut page);
    page.push_str(
        "\n## Settings without effect\n\nSettings of Kafka and ksqlDB that begin so, and are not above, are accepted in files with a \
         warning.\n\n",
    );
    page.push_str(&format!("{}\n", codes(IGNORED)));
    page
}

#[test]
fn the_page_of_settings_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PAGE);
    let wanted = page();
    if std::env::var_os("WEIR_UPDATE_PAGES").is_some() {
        fs::write(&path, &wanted).expect("the page is written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{PAGE} is stale; WEIR_UPDATE_PAGES=1 makes it anew. It should be:\n{wanted}");
}

#[test]
fn every_setting_stands_on_the_page_in_a_known_section() {
    let page = page();
    for setting in &SETTINGS {
        let section = setting.name.split_once('.').map_or("", |(section, _)| section);
        assert!(SECTIONS.iter().any(|(known, _)| *known == section), "{}", setting.name);
        assert!(page.contains(&format!("| `{}` |", setting.name)), "{}", setting.name);
    }
    // Bounds that are found by trying.
    for row in ["| `node.task-step-max-ms` | – | `30000` | at least 1 |", "| `100` | at least 0 |"] {
        assert!(page.contains(row), "{row} in\n{page}");
    }
}
