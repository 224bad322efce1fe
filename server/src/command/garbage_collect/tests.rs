use indexmap::IndexMap;
use weir_sql::format::{Format, FormatInfo};
use weir_sql::metastore::source::QueryKind;
use weir_sql::plan::command::CreateSourceCommand;
use weir_sql::plan::physical::{PLAN_VERSION, QueryPlan, QueryRole, ResultKind, SourceStep, Step};
use weir_sql::schema::{Column, LogicalSchema};
use weir_sql::types::SqlType;

use super::*;
use crate::command::record::RECORD_VERSION;

fn command(actions: Vec<Action>) -> Command {
    Command { version: RECORD_VERSION, id: "c".to_owned(), statement: String::new(), actions }
}

fn schema() -> LogicalSchema {
    LogicalSchema::new(vec![], vec![Column::new("A", SqlType::Integer)])
}

fn create(name: &str) -> Action {
    Action::Ddl(DdlCommand::CreateSource(CreateSourceCommand {
        name: name.to_owned(),
        kind: ResultKind::Stream,
        topic: "t".to_owned(),
        schema: schema(),
        key_format: FormatInfo::key(Format::Kafka),
        value_format: FormatInfo::new(Format::Json),
        window: None,
        timestamp: None,
        read_only: false,
        or_replace: false,
        from_query: false,
        sql: String::new(),
    }))
}

fn drop_source(name: &str) -> Action {
    Action::Ddl(DdlCommand::DropSource { name: name.to_owned() })
}

fn start(id: &str) -> Action {
    let root = Step::Source(SourceStep {
        source: "S".to_owned(),
        kind: ResultKind::Stream,
        topic: "t".to_owned(),
        key_format: FormatInfo::key(Format::Kafka),
        value_format: FormatInfo::new(Format::Json),
        schema: schema(),
        window: None,
        timestamp: None,
    });
    let plan = QueryPlan {
        version: PLAN_VERSION,
        query_id: id.to_owned(),
        sources: vec!["S".to_owned()],
        sink: None,
        role: QueryRole::Persistent,
        root,
    };
    Action::StartQuery {
        plan: Box::new(plan),
        kind: QueryKind::InsertSelect,
        sql: String::new(),
        properties: IndexMap::new(),
    }
}

fn stop(id: &str) -> Action {
    Action::StopQuery { id: id.to_owned() }
}

fn pause(id: &str) -> Action {
    Action::PauseQuery { id: id.to_owned() }
}

fn resume(id: &str) -> Action {
    Action::ResumeQuery { id: id.to_owned() }
}

/// Offsets of the commands without effect after all of them, in the order in which they are deleted.
fn dead(commands: Vec<Vec<Action>>) -> Vec<usize> {
    let mut index = CommandIndex::default();
    for (offset, actions) in commands.into_iter().enumerate() {
        index.push(Place { offset: offset as i64, key: offset.to_string() }, &command(actions));
    }
    index.garbage.iter().map(|key| key.parse().expect("an offset")).collect()
}

#[test]
fn a_dropped_source_takes_its_commands_along() {
    assert_eq!(dead(vec![vec![create("A")], vec![create("B")], vec![drop_source("A")]]), [0, 2]);
    let twice = vec![
        vec![create("A")],
        vec![drop_source("A")],
        vec![create("A")],
        vec![create("B")],
        vec![drop_source("A")],
    ];
    assert_eq!(dead(twice), [0, 1, 2, 4]);
    assert_eq!(dead(vec![vec![create("A")], vec![drop_source("A")], vec![create("A")]]), [0, 1]);
}

#[test]
fn a_stopped_query_comes_back_with_no_source_left_to_it() {
    // The stop stays as long as the command that starts the query.
    let mut commands = vec![vec![create("A"), start("CSAS_A_0")], vec![pause("CSAS_A_0")]];
    commands.push(vec![stop("CSAS_A_0")]);
    assert_eq!(dead(commands.clone()), [1]);
    commands.push(vec![drop_source("A")]);
    assert_eq!(dead(commands), [1, 0, 2, 3]);
    assert_eq!(
        dead(vec![vec![create("A"), start("CSAS_A_0")], vec![stop("CSAS_A_0"), drop_source("A")]]),
        [0, 1]
    );
}

#[test]
fn queries_between_sources_go_when_they_are_stopped() {
    let commands = vec![
        vec![create("A")],
        vec![start("INSERTQUERY_1")],
        vec![start("INSERTQUERY_2")],
        vec![pause("INSERTQUERY_1"), pause("INSERTQUERY_2")],
        vec![stop("INSERTQUERY_1")],
    ];
    assert_eq!(dead(commands), [1, 4]);
}

#[test]
fn a_command_that_ends_several_subjects_stays_for_the_last() {
    let commands = vec![
        vec![create("A"), start("CSAS_A_0")],
        vec![start("INSERTQUERY_1")],
        vec![stop("CSAS_A_0"), stop("INSERTQUERY_1")],
    ];
    assert_eq!(dead(commands.clone()), [1]);
    let all = [commands, vec![vec![drop_source("A")]]].concat();
    assert_eq!(dead(all), [1, 0, 2, 3]);
}

#[test]
fn of_pauses_and_resumes_the_last_counts() {
    let commands = vec![
        vec![create("A"), start("CSAS_A_0")],
        vec![pause("CSAS_A_0")],
        vec![resume("CSAS_A_0")],
        vec![pause("CSAS_A_0")],
    ];
    assert_eq!(dead(commands), [1, 2]);
    // One of two queries goes on: the other stays paused.
    let commands = vec![
        vec![start("INSERTQUERY_1")],
        vec![start("INSERTQUERY_2")],
        vec![pause("INSERTQUERY_1"), pause("INSERTQUERY_2")],
        vec![resume("INSERTQUERY_1")],
    ];
    assert_eq!(dead(commands), [] as [usize; 0]);
}

#[test]
fn garbage_is_given_in_batches() {
    let mut index = CommandIndex::default();
    for offset in 0..10 {
        let actions = if offset % 2 == 0 { vec![create("A")] } else { vec![drop_source("A")] };
        index.push(Place { offset, key: format!("key-{offset}") }, &command(actions));
    }
    assert_eq!(index.garbage_count(), 10);
    assert_eq!(index.oldest_garbage(11), ["key-0", "key-1"]);
    assert_eq!(index.oldest_garbage(1), ["key-0"]);
    index.forget_garbage(9);
    assert_eq!(index.oldest_garbage(100), ["key-9"]);
    assert!(index.entries.is_empty() && index.about.is_empty() && index.ended.is_empty());
}

#[test]
fn a_deleted_topic_is_not_made_again() {
    let made = |name: &str| {
        vec![Action::CreateTopic {
            name: name.to_owned(),
            partitions: 1,
            replicas: None,
            configs: BTreeMap::new(),
        }]
    };
    let delete = vec![Action::DeleteTopic { name: "a".to_owned() }];
    let mut commands: Vec<StoredCommand> = Vec::new();
    for (offset, actions) in [made("a"), made("b"), delete].into_iter().enumerate() {
        let place = Place { offset: offset as i64, key: offset.to_string() };
        commands.push(StoredCommand { place, command: command(actions) });
    }
    assert_eq!(topics_made(commands.iter()).into_keys().collect::<Vec<_>>(), ["b"]);
    let place = Place { offset: 3, key: "3".to_owned() };
    commands.push(StoredCommand { place, command: command(made("a")) });
    assert_eq!(topics_made(commands.iter()).into_keys().collect::<Vec<_>>(), ["a", "b"]);
}
