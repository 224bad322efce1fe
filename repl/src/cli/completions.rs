//! `weir completions`: what shells need to complete the command line.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, Args, Command, CommandFactory};
use clap_complete::{Shell, generate};

use crate::cli::args::Cli;
use crate::kafka_tools::connection::{Connection, ConnectionArgs};
use crate::kafka_tools::error::Result;
use crate::kafka_tools::group::view::groups;
use crate::render::line;

/// A shell waits this long for the names of topics and groups.
const NAMES_WITHIN: Duration = Duration::from_secs(1);
/// Completion of topics and groups, which the generated script of bash lacks.
const BASH_NAMES: &str = r#"
# Topics and groups are asked from the node that the line names.
_weir_with_names() {
    local line="${COMP_LINE:0:COMP_POINT}" words names
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    names=$("$1" completions bash -- "${words[@]:1}" 2>/dev/null)
    if [[ -n $names ]]; then
        mapfile -t COMPREPLY <<< "$names"
        return 0
    fi
    _weir "$@"
}
complete -F _weir_with_names -o bashdefault -o default weir
"#;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir completions bash > /etc/bash_completion.d/weir
  weir completions zsh > \"${fpath[1]}/_weir\"
  weir completions fish > ~/.config/fish/completions/weir.fish

Bash also completes the names of topics and groups: it asks the node, which has a second to answer.")]
pub struct CompletionsArgs {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
    /// Words of a command line up to the cursor: print the names that its last word may become
    #[arg(last = true, hide = true)]
    words: Vec<String>,
}

/// Prints the script of a shell, or names for it.
pub async fn run(args: &CompletionsArgs) -> ExitCode {
    if args.words.is_empty() {
        line::out_bytes(&script(args.shell));
        return ExitCode::SUCCESS;
    }
    let mut command = Cli::command();
    command.build();
    if let Some(request) = Request::parse(&command, &args.words) {
        // Without an answer the shell completes the rest.
        let names = tokio::time::timeout(NAMES_WITHIN, request.names()).await;
        names.into_iter().flatten().flatten().for_each(line::out);
    }
    ExitCode::SUCCESS
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "weir", &mut script);
    if shell == Shell::Bash {
        script.extend_from_slice(BASH_NAMES.as_bytes());
    }
    script
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Topics,
    Groups,
}

impl Kind {
    fn of(argument: &Arg) -> Option<Kind> {
        match argument.get_value_names()?.first()?.as_str() {
            "TOPIC" | "TOPICS" => Some(Kind::Topics),
            "GROUP" => Some(Kind::Groups),
            _ => None,
        }
    }
}

/// The names that a command line needs.
#[derive(Debug)]
struct Request {
    kind: Kind,
    prefix: String,
    connection: ConnectionArgs,
}

impl Request {
    /// Reads a command line up to the word that is being typed, the last one. None: it is no name of the node's.
    fn parse(root: &Command, words: &[String]) -> Option<Request> {
        let (typed, before) = words.split_last()?;
        let mut command = root;
        let mut connection = ConnectionArgs::default();
        let mut positionals = 0;
        let mut pending: Option<&Arg> = None;
        for word in before {
            if let Some(option) = pending.take() {
                take(&mut connection, option, word);
            } else if let Some((option, value)) = option_of(command, word) {
                match value {
                    Some(value) => take(&mut connection, option, value),
                    None => pending = Some(option).filter(|option| option.get_action().takes_values()),
                }
            } else if let Some(below) = command.find_subcommand(word) {
                command = below;
            } else if !word.starts_with('-') {
                positionals += 1;
            }
        }
        let (argument, prefix) = match (pending, option_of(command, typed)) {
            (Some(option), _) => (option, typed.as_str()),
            (None, Some((option, value))) => (option, value?),
            // A topic that is to be made has no name yet.
            (None, None) if typed.starts_with('-') || command.get_name() == "create" => return None,
            (None, None) => (positional(command, positionals)?, typed.as_str()),
        };
        Some(Request { kind: Kind::of(argument)?, prefix: prefix.to_owned(), connection })
    }

    /// Names that begin with the prefix. Those that a shell would take apart are left out.
    async fn names(mut self) -> Result<Vec<String>> {
        self.connection.brokers = self.connection.brokers.or_else(|| std::env::var("WEIR_BROKERS").ok());
        let connection = Connection::open(&self.connection).await?;
        let mut names: Vec<String> = match self.kind {
            Kind::Topics => connection.admin.list_topics().await?.into_iter().map(|t| t.name).collect(),
            Kind::Groups => groups(&connection).await?.into_iter().map(|group| group.group_id).collect(),
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        names.retain(|name| name.starts_with(&self.prefix) && name.chars().all(is_plain));
        names.sort();
        Ok(names)
    }
}

/// The option that a word is, and the value that stands in the same word.
fn option_of<'c, 'w>(command: &'c Command, word: &'w str) -> Option<(&'c Arg, Option<&'w str>)> {
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        let is_named = |argument: &&Arg| {
            argument.get_long() == Some(name)
                || argument.get_all_aliases().unwrap_or_default().contains(&name)
        };
        return Some((command.get_arguments().find(is_named)?, value));
    }
    // Letters without values may stand before the last one: -eG group.
    let mut letters = word.strip_prefix('-')?;
    while let Some(letter) = letters.chars().next() {
        letters = &letters[letter.len_utf8()..];
        let is_named = |argument: &&Arg| {
            argument.get_short() == Some(letter)
                || argument.get_all_short_aliases().unwrap_or_default().contains(&letter)
        };
        let option = command.get_arguments().find(is_named)?;
        if letters.is_empty() || option.get_action().takes_values() {
            return Some((option, Some(letters).filter(|value| !value.is_empty())));
        }
    }
    None
}

/// The argument in this place; the last one may have several values.
fn positional(command: &Command, place: usize) -> Option<&Arg> {
    let several = |argument: &&Arg| argument.get_num_args().is_some_and(|count| count.max_values() > 1);
    command.get_positionals().nth(place).or_else(|| command.get_positionals().last().filter(several))
}

/// Keeps the options that say which node is asked, and how.
fn take(connection: &mut ConnectionArgs, option: &Arg, value: &str) {
    match option.get_id().as_str() {
        "brokers" => connection.brokers = Some(value.to_owned()),
        "property" => connection.property.push(value.to_owned()),
        "command_config" => connection.command_config = Some(value.into()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_shell_knows_the_tools() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            let script = String::from_utf8_lossy(&script);
            for word in ["consume", "isolation", "dry-run"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn words_before_the_cursor_say_which_names_are_needed() {
        let mut command = Cli::command();
        command.build();
        let parse = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            Request::parse(&command, &words).map(|request| (request.kind, request.prefix))
        };
        let topics = |prefix: &str| Some((Kind::Topics, prefix.to_owned()));
        let groups = |prefix: &str| Some((Kind::Groups, prefix.to_owned()));
        for (line, expected) in [
            ("topic describe cl", topics("cl")),
            ("topic rm a b ", topics("")),
            ("consume -o -10 -e clicks or", topics("or")),
            ("consume -eG re", groups("re")),
            ("consume clicks --group=re", groups("re")),
            ("produce cl", topics("cl")),
            ("produce clicks fi", None),
            ("group describe ", groups("")),
            ("group seek reports --topics cl", topics("cl")),
            ("group seek reports --to ea", None),
            ("topic create cl", None),
            ("topic describe --con", None),
            ("topic des", None),
            ("-e SHOW", None),
            ("", None),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
    }

    #[test]
    fn the_node_of_the_line_is_asked() {
        let mut command = Cli::command();
        command.build();
        let words = ["topic", "-b", "a:1", "describe", "-Xsasl.username=ada", "--command-config=f", ""];
        let request = Request::parse(&command, &words.map(str::to_owned)).expect("topics");
        assert_eq!(request.connection.brokers.as_deref(), Some("a:1"));
        assert_eq!(request.connection.property, ["sasl.username=ada"]);
        assert_eq!(request.connection.command_config.as_deref(), Some(std::path::Path::new("f")));
    }
}
