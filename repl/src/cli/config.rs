//! `weir config show`, and how flags, variables, files and defaults become the settings of a node.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use serde_json::Value;
use weir_broker::config::{BrokerConfig, settings as broker_settings};
use weir_broker::metadata::topic_config::DEFINITIONS;
use weir_server::config::NodeConfig;
use weir_server::https::shown_url;
use weir_sql::suggest::nearest;

use crate::cli::args::{self, Cli};
use crate::cli::node_args::NodeArgs;
use crate::cli::settings::SETTINGS;
use crate::cli::settings_file::{Defaults, PREFIX, load};
use crate::client::connect::{PASSWORD_VARIABLE, TOKEN_VARIABLE};
use crate::kafka_tools::output::OutputArgs;
use crate::render::line;

const USAGE: i32 = 2;
const DEFAULT: &str = "default";
const OVERRIDE: &str = "--override";
const CREDENTIALS: &str = "WEIR_CREDENTIALS";
const MASK: &str = "********";
const SERVICE_VARIABLE: &str = "WEIR_SERVICE_HOST";
/// Variables of the shell, and of the test scripts, whose nodes inherit them.
const OTHER_VARIABLES: [&str; 13] = [
    "WEIR_BINARY",
    "WEIR_BOUNCES",
    "WEIR_CLIENT",
    "WEIR_CLIENTS",
    "WEIR_COPIES",
    "WEIR_DAMAGES",
    "WEIR_FAILURES",
    "WEIR_KILLS",
    "WEIR_PAGER",
    "WEIR_PYTHON",
    "WEIR_ROUNDS",
    "WEIR_SEED",
    "WEIR_VI",
];
const OTHER_PREFIXES: [&str; 5] =
    ["WEIR_CHURN_", "WEIR_FAILPOINT", "WEIR_FUZZ_", "WEIR_SCALE_", "WEIR_TEST_"];

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir config show --origin
  weir config show --origin --config /etc/kafka/server.properties

Flags override variables, which override files: ./weir.toml, ~/.config/weir/weir.toml, /etc/weir/weir.toml. A file:

  num.partitions = 3                  # names of Kafka's server.properties are understood
  [node]
  data-dir = \"/var/lib/weir\"
  [kafka]
  listen = \"127.0.0.1:9092\"           # also WEIR_KAFKA__LISTEN=127.0.0.1:9092")]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every setting of a node, as set by flags, variables and files
    Show(Box<ShowArgs>),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Print the origin of each value
    #[arg(long)]
    origin: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    node: NodeArgs,
    #[arg(skip)]
    settings: Vec<SettingValue>,
}

/// A setting as it is.
#[derive(Clone, Debug)]
struct SettingValue {
    name: String,
    value: Option<String>,
    origin: String,
}

/// The command line, with what files and variables say beneath it. Ends the process where something is wrong.
pub fn parse() -> Cli {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut cli = Cli::parse_from(&arguments);
    let Some(node) = node_of(&mut cli) else { return cli };
    let defaults = load(node.config.as_deref(), std::env::vars()).unwrap_or_else(|message| fail(&message));
    let unknown = unknown_variables(&Cli::command(), std::env::vars().map(|(name, _)| name));
    for warning in defaults.warnings.iter().chain(&unknown) {
        line::err(format_args!("Warning: {warning}"));
    }
    // It has succeeded without them, so whatever fails now is in a file or a variable.
    let matches = with_defaults(Cli::command(), &defaults).try_get_matches_from(&arguments);
    let parsed = matches.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (mut cli, matches) = parsed.unwrap_or_else(|error| {
        let origins: Vec<&str> = defaults.flags.values().map(|given| given.origin.as_str()).collect();
        fail(&format!("in the configuration ({}): {}", unique(origins).join(", "), error.render()))
    });
    if let Some(node) = node_of(&mut cli) {
        let from_file = defaults.broker.iter().map(|(name, given)| format!("{name}={}", given.value));
        node.overrides.splice(0..0, from_file);
    }
    if let Some(args::Command::Config(ConfigArgs { command: ConfigCommand::Show(show) })) = &mut cli.command {
        let show_matches = matches.subcommand_matches("config").and_then(|m| m.subcommand_matches("show"));
        if let Some(matches) = show_matches {
            show.settings = values(matches, &defaults, &show.node);
        }
    }
    cli
}

/// Warnings about variables that look like settings and are none.
fn unknown_variables(command: &Command, variables: impl Iterator<Item = String>) -> Vec<String> {
    let others = [CREDENTIALS, PASSWORD_VARIABLE, TOKEN_VARIABLE].into_iter().chain(OTHER_VARIABLES);
    let mut known: Vec<String> = others.map(str::to_owned).collect();
    let mut commands = vec![command];
    while let Some(command) = commands.pop() {
        let names = command.get_arguments().filter_map(|argument| argument.get_env());
        known.extend(names.map(|name| name.to_string_lossy().into_owned()));
        commands.extend(command.get_subcommands());
    }
    let names: Vec<String> = variables.filter(|name| name.starts_with(PREFIX)).collect();
    // Kubernetes makes these for a service that is called weir.
    let has_service = names.iter().any(|name| name == SERVICE_VARIABLE);
    let is_of_service = |name: &String| {
        has_service
            && (name.starts_with("WEIR_SERVICE_") || name == "WEIR_PORT" || name.starts_with("WEIR_PORT_"))
    };
    names
        .into_iter()
        // Variables with a section are checked with the files.
        .filter(|name| !name.contains("__") && !known.contains(name) && !is_of_service(name))
        .filter(|name| !OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        .map(|name| {
            let known = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
            let meant = nearest(name.trim_start_matches(PREFIX), known);
            let hint = meant.map(|meant| format!("; did you mean \"{PREFIX}{meant}\"?"));
            format!("{name} is no setting{}", hint.unwrap_or_default())
        })
        .collect()
}

fn unique(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names.dedup();
    names
}

fn fail(message: &str) -> ! {
    line::err(format_args!("Error: {}", message.trim_end()));
    std::process::exit(USAGE)
}

/// The node that a command is about, if it is.
fn node_of(cli: &mut Cli) -> Option<&mut NodeArgs> {
    match &mut cli.command {
        None if cli.shell.server.is_some() => None,
        None => Some(&mut cli.node),
        Some(args::Command::Server(node)) => Some(node),
        Some(args::Command::Config(ConfigArgs { command: ConfigCommand::Show(show) })) => {
            Some(&mut show.node)
        }
        Some(_) => None,
    }
}

/// Values of files and variables take the place of the flags' defaults.
fn with_defaults(command: Command, defaults: &Defaults) -> Command {
    let apply = |mut command: Command| {
        for (id, given) in &defaults.flags {
            let given: &'static str = given.value.clone().leak();
            command = command.mut_arg(*id, |argument| match argument.get_value_delimiter() {
                None => argument.default_value(given),
                Some(delimiter) => {
                    argument.default_values(given.split(delimiter).map(str::trim).filter(|v| !v.is_empty()))
                }
            });
        }
        command
    };
    apply(command)
        .mut_subcommand("server", apply)
        .mut_subcommand("config", |config| config.mut_subcommand("show", apply))
}

/// Every setting, and where its value comes from.
fn values(matches: &ArgMatches, defaults: &Defaults, node: &NodeArgs) -> Vec<SettingValue> {
    let command = Cli::command();
    let server = command.find_subcommand("server");
    let mut values = Vec::new();
    for setting in &SETTINGS {
        let flag = server.and_then(|server| server.get_arguments().find(|a| a.get_id() == setting.id));
        let raw = matches.get_raw(setting.id).into_iter().flatten();
        let raw: Vec<String> = raw.map(|value| value.to_string_lossy().into_owned()).collect();
        let origin = match matches.value_source(setting.id) {
            Some(ValueSource::CommandLine) => format!("--{}", setting.id.replace('_', "-")),
            Some(ValueSource::EnvVariable) => {
                let variable = flag.and_then(|flag| flag.get_env());
                variable.map_or_else(|| DEFAULT.to_owned(), |name| name.to_string_lossy().into_owned())
            }
            _ => defaults.flags.get(setting.id).map_or_else(|| DEFAULT.to_owned(), |g| g.origin.clone()),
        };
        let given = (!raw.is_empty()).then(|| raw.join(setting.separator));
        let given = if setting.id == "oauth_jwks" { given.map(|url| shown_url(&url)) } else { given };
        let value = given.or_else(|| default_address(setting.id, node));
        values.push(SettingValue { name: setting.name.to_owned(), value, origin });
    }
    if std::env::var_os(CREDENTIALS).is_some() {
        let (name, origin) = ("sasl.credentials".to_owned(), CREDENTIALS.to_owned());
        values.push(SettingValue { name, value: Some(MASK.to_owned()), origin });
    }
    values.extend(broker_values(defaults, node));
    for (name, value) in node.ksql_settings().unwrap_or_default() {
        let given = defaults.broker.get(&name).filter(|given| given.value == value);
        let origin = given.map_or_else(|| OVERRIDE.to_owned(), |given| given.origin.clone());
        values.push(SettingValue { name, value: Some(value), origin });
    }
    values
}

/// The address of a listener that is open without a setting.
pub(crate) fn default_address(id: &str, node: &NodeArgs) -> Option<String> {
    let config = NodeConfig::new(&node.data_dir);
    match id {
        "http_listen" => Some(config.http_listen.to_string()),
        // Listeners replace this one.
        "kafka_listen" if node.security.listeners.is_empty() => config.kafka_listen.map(|a| a.to_string()),
        _ => None,
    }
}

/// Settings of the broker without flags.
fn broker_values(defaults: &Defaults, node: &NodeArgs) -> Vec<SettingValue> {
    let built_in = BrokerConfig::new(&node.data_dir);
    let settable = broker_settings::SETTINGS.iter().filter(|setting| setting.is_settable());
    let mut known: BTreeMap<&str, String> =
        settable.map(|setting| (setting.name, setting.value(&built_in))).collect();
    let of_topics = DEFINITIONS.iter().filter(|definition| !definition.broker_name.is_empty());
    known.extend(of_topics.map(|definition| (definition.broker_name, definition.default.to_owned())));
    let set = node.kafka_settings().unwrap_or_default();
    let value = |(name, built_in): (&str, String)| {
        let origin = match (set.get(name), defaults.broker.get(name)) {
            (Some(value), Some(given)) if *value == given.value => given.origin.clone(),
            (Some(_), _) => OVERRIDE.to_owned(),
            (None, _) => DEFAULT.to_owned(),
        };
        SettingValue {
            name: name.to_owned(),
            value: Some(set.get(name).cloned().unwrap_or(built_in)),
            origin,
        }
    };
    known.into_iter().map(value).collect()
}

pub fn run(args: ConfigArgs) -> ExitCode {
    let ConfigCommand::Show(show) = args.command;
    if let Err(message) = show.node.kafka_settings().and_then(|_| show.node.ksql_settings()) {
        line::err(format_args!("Error: {message}"));
        return ExitCode::from(2);
    }
    let row = |setting: &SettingValue| {
        let mut row = vec![Value::from(setting.name.as_str()), setting.value.clone().into()];
        row.extend(show.origin.then(|| Value::from(setting.origin.as_str())));
        row
    };
    let rows: Vec<Vec<Value>> = show.settings.iter().map(row).collect();
    let columns: &[&str] = if show.origin { &["setting", "value", "origin"] } else { &["setting", "value"] };
    show.output.show(columns, &rows);
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_are_no_settings_are_reported() {
        let warnings =
            |names: &[&str]| unknown_variables(&Cli::command(), names.iter().map(|name| (*name).to_owned()));
        let known =
            ["WEIR_KAFKA_LISTEN", "WEIR_LOG", "WEIR_CREDENTIALS", "WEIR_PASSWORD", "WEIR_NODE__X", "HOME"];
        assert!(warnings(&known).is_empty(), "{:?}", warnings(&known));
        assert_eq!(
            warnings(&["WEIR_KAFKA_LISTN", "WEIR_PORT"]),
            [
                "WEIR_KAFKA_LISTN is no setting; did you mean \"WEIR_KAFKA_LISTEN\"?",
                "WEIR_PORT is no setting"
            ]
        );
        let service = ["WEIR_SERVICE_HOST", "WEIR_SERVICE_PORT", "WEIR_PORT", "WEIR_PORT_9092_TCP"];
        assert!(warnings(&service).is_empty(), "of Kubernetes: {:?}", warnings(&service));
    }
}
