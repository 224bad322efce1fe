//! Arguments that the scripts share, and how a script's arguments are parsed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser};
use regex::Regex;
use weir_broker::client::admin::TopicDescription;

use crate::kafka_tools::connection::{Connection, ConnectionArgs};
use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::scripts::Script;
use crate::render::line;

/// Flags that change nothing here.
pub trait Ignored {
    /// Flags, and whether a value follows.
    const IGNORED: &'static [(&'static str, bool)] = &[];
}

/// Arguments of a script. Flags without effect cause a warning; wrong ones end the process with 2, `--help` with 0.
pub fn parse<A: Parser + Ignored>(script: Script, arguments: Vec<OsString>) -> A {
    let mut left = vec![OsString::from(script.name())];
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        let text = argument.to_str().unwrap_or_default();
        let (name, value) = match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (text, None),
        };
        match A::IGNORED.iter().find(|(known, _)| *known == name) {
            None => left.push(argument),
            Some((name, takes_value)) => {
                line::err(format_args!("Warning: {name} changes nothing here"));
                if *takes_value && value.is_none() {
                    arguments.next();
                }
            }
        }
    }
    A::parse_from(left)
}

/// Where the cluster is.
#[derive(Clone, Debug, Default, Args)]
pub struct Bootstrap {
    /// Brokers: HOST:PORT, several with commas; default: localhost:9092
    #[arg(long, alias = "broker-list", value_name = "HOST:PORT", env = "WEIR_BROKERS")]
    pub bootstrap_server: Option<String>,
    /// File of client properties
    #[arg(long, value_name = "FILE")]
    pub command_config: Option<PathBuf>,
}

impl Bootstrap {
    pub async fn open(&self, properties: &[String]) -> Result<Connection> {
        Connection::open(&ConnectionArgs {
            brokers: self.bootstrap_server.clone(),
            property: properties.to_vec(),
            command_config: self.command_config.clone(),
        })
        .await
    }
}

/// Names of topics as the scripts take them: an expression that must fit the whole name; commas stand for "or".
#[derive(Clone, Debug)]
pub struct TopicPattern(Regex);

impl TopicPattern {
    pub fn parse(text: &str) -> Result<TopicPattern> {
        let alternatives: Vec<&str> =
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        let expression = format!("^(?:{})$", alternatives.join("|"));
        let wrong = |_| ToolError::Usage(format!("\"{text}\" is no regular expression"));
        Regex::new(&expression).map(TopicPattern).map_err(wrong)
    }

    pub fn fits(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// Topics by name; those that fit a pattern, if there is one.
pub async fn matching_topics(
    connection: &Connection,
    pattern: Option<&str>,
) -> Result<Vec<TopicDescription>> {
    let pattern = pattern.map(TopicPattern::parse).transpose()?;
    let mut topics = connection.admin.list_topics().await?;
    topics.retain(|topic| pattern.as_ref().is_none_or(|pattern| pattern.fits(&topic.name)));
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

/// One of several flags must be given, and only one.
pub fn only_one<A: Copy>(actions: &[(bool, A)], flags: &str) -> Result<A> {
    let mut given = actions.iter().filter(|(is_given, _)| *is_given).map(|(_, action)| *action);
    match (given.next(), given.next()) {
        (Some(action), None) => Ok(action),
        _ => Err(ToolError::Usage(format!("exactly one of {flags} must be given"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Sample {
        #[arg(long)]
        topic: Option<String>,
    }

    impl Ignored for Sample {
        const IGNORED: &'static [(&'static str, bool)] = &[("--sync", false), ("--timeout", true)];
    }

    #[test]
    fn flags_that_change_nothing_are_left_out_with_their_values() {
        let topic = |arguments: &[&str]| {
            let arguments = arguments.iter().map(OsString::from).collect();
            parse::<Sample>(Script::Topics, arguments).topic
        };
        let given = Some("t".to_owned());
        assert_eq!(topic(&["--sync", "--timeout", "5", "--topic", "t"]), given);
        assert_eq!(topic(&["--timeout=5", "--topic=t", "--sync"]), given);
    }

    #[test]
    fn patterns_fit_whole_names() {
        let fits = |pattern: &str, name: &str| TopicPattern::parse(pattern).expect("valid").fits(name);
        assert!(fits("a.*,b", "abc") && fits("a.*,b", "b") && !fits("a.*,b", "bc") && !fits("b", "ab"));
        assert!(TopicPattern::parse("(").is_err());
    }

    #[test]
    fn one_action_is_due() {
        assert_eq!(only_one(&[(false, 1), (true, 2)], "x").expect("one"), 2);
        assert!(only_one(&[(true, 1), (true, 2)], "x").is_err() && only_one(&[(false, 1)], "x").is_err());
    }
}
