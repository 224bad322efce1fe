//! Names of things as arguments: in place, or behind the flag that Kafka's own scripts have.

use std::fmt::Debug;
use std::marker::PhantomData;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

/// A kind of things with names.
pub trait NameKind: Debug {
    /// The flag, which is also what stands for the value in help, in capitals.
    const FLAG: &'static str;
    const VALUE: &'static str;
    const HELP: &'static str;
}

#[derive(Clone, Copy, Debug)]
pub struct Topic;

impl NameKind for Topic {
    const FLAG: &'static str = "topic";
    const VALUE: &'static str = "TOPIC";
    const HELP: &'static str = "Topics";
}

#[derive(Clone, Copy, Debug)]
pub struct Group;

impl NameKind for Group {
    const FLAG: &'static str = "group";
    const VALUE: &'static str = "GROUP";
    const HELP: &'static str = "Groups";
}

/// At least one name.
#[derive(Clone, Debug)]
pub struct Names<K> {
    names: Vec<String>,
    kind: PhantomData<K>,
}

impl<K: NameKind> Names<K> {
    pub fn new(names: impl IntoIterator<Item = String>) -> Names<K> {
        Names { names: names.into_iter().collect(), kind: PhantomData }
    }

    pub fn all(&self) -> impl Iterator<Item = &String> {
        self.names.iter()
    }
}

impl<K: NameKind> FromArgMatches for Names<K> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Names<K>, clap::Error> {
        let given = |id: &str| matches.get_many::<String>(id).into_iter().flatten().cloned();
        Ok(Names::new(given("names").chain(given(K::FLAG))))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Names::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<K: NameKind> Args for Names<K> {
    fn augment_args(command: Command) -> Command {
        let in_place = Arg::new("names")
            .value_name(K::VALUE)
            .help(K::HELP)
            .num_args(1..)
            .action(ArgAction::Append)
            .required_unless_present(K::FLAG);
        let flag = Arg::new(K::FLAG).long(K::FLAG).value_name(K::VALUE).action(ArgAction::Append).hide(true);
        command.arg(in_place).arg(flag)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Names::<K>::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        names: Names<Topic>,
    }

    #[test]
    fn names_stand_in_place_or_behind_their_flag() {
        let names = |arguments: &[&str]| {
            let parsed = Only::try_parse_from([&["weir"], arguments].concat());
            parsed.map(|only| only.names.all().cloned().collect::<Vec<_>>().join(" ")).ok()
        };
        assert_eq!(names(&["a", "b"]).as_deref(), Some("a b"));
        assert_eq!(names(&["--topic", "a", "--topic", "b"]).as_deref(), Some("a b"));
        assert_eq!(names(&[]), None);
    }
}
