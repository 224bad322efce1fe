//! Statement × rights, in a world of two streams and a table that counts one of them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use indexmap::IndexMap;
use weir_broker::auth::acl::ResourceType;
use weir_sql::catalog::{MemoryTopics, NoRegistry};
use weir_sql::context::Context;
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::parser::parse_statements;
use weir_sql::plan::dry_run::dry_run;
use weir_sql::planner::statement::prepare as plan;
use weir_sql::session::Session;

use super::*;
use crate::auth::caller::{Authorizer, Proof};

const SETUP: [&str; 3] = [
    "CREATE STREAM a (k STRING KEY, n INT) WITH (KAFKA_TOPIC='ta', PARTITIONS=1, VALUE_FORMAT='JSON');",
    "CREATE STREAM b (k STRING KEY, n INT) WITH (KAFKA_TOPIC='tb', PARTITIONS=1, VALUE_FORMAT='JSON');",
    "CREATE TABLE c WITH (KAFKA_TOPIC='tc', VALUE_FORMAT='JSON') AS SELECT k, COUNT(*) AS n FROM a GROUP BY k;",
];

#[derive(Default)]
struct World {
    metastore: Metastore,
    topics: MemoryTopics,
}

impl World {
    fn new() -> World {
        let mut world = World::default();
        for sql in SETUP {
            let actions = world.planned(sql).1.actions(sql, &IndexMap::new());
            dry_run(&mut (&mut world.metastore, &mut world.topics), &actions).expect(sql);
        }
        world
    }

    fn planned(&self, sql: &str) -> (Statement, PreparedStatement) {
        let statement = parse_statements(sql).expect(sql).remove(0).statement;
        let context = Context {
            metastore: &self.metastore,
            session: &Session::default(),
            topics: &self.topics,
            schemas: &NoRegistry,
            functions: FunctionRegistry::standard(),
        };
        let prepared = plan(&context, &statement, sql, 7).expect(sql);
        (statement, prepared)
    }

    /// The rights that a statement needs, such as "Read ta" or "Alter cluster".
    fn rights(&self, sql: &str) -> BTreeSet<String> {
        let (statement, prepared) = self.planned(sql);
        let rights = named(&statement, &self.metastore).into_iter();
        let text = |right: Right| match right.kind {
            ResourceType::Cluster => format!("{:?} cluster", right.operation),
            _ => format!("{:?} {}", right.operation, right.name),
        };
        rights.chain(caused(&prepared, &self.metastore, &self.topics)).map(text).collect()
    }

    fn query(&self) -> &QueryEntry {
        self.metastore.queries().next().expect("the query of the table")
    }
}

#[test]
fn statements_need_the_rights_of_their_table() {
    let world = World::new();
    let query = &world.query().plan.query_id;
    let mut wrong = Vec::new();
    let mut check = |sql: &str, wanted: &[&str]| {
        let rights = world.rights(sql);
        if !rights.iter().eq(wanted) {
            wrong.push(format!("{sql} needs {wanted:?}, not {rights:?}"));
        }
    };
    check("SELECT * FROM a EMIT CHANGES;", &["Read ta"]);
    check("SELECT * FROM c;", &["Read tc"]);
    check("SELECT * FROM a x JOIN b y WITHIN 1 HOUR ON x.k = y.k EMIT CHANGES;", &["Read ta", "Read tb"]);
    check("PRINT tz;", &["Read tz"]);
    check("INSERT INTO a VALUES ('x', 1);", &["Write ta"]);
    check("INSERT INTO b SELECT * FROM a;", &["Read ta", "Write tb"]);
    check(
        "CREATE STREAM d WITH (KAFKA_TOPIC='td') AS SELECT * FROM a;",
        &["Create td", "Read ta", "Write td"],
    );
    check("CREATE STREAM d WITH (KAFKA_TOPIC='tb') AS SELECT * FROM a;", &["Read ta", "Write tb"]);
    check(
        "CREATE STREAM d WITH (KAFKA_TOPIC='td') AS SELECT x.k, y.n FROM a x \
             JOIN b y WITHIN 1 HOUR ON x.k = y.k;",
        &["Create td", "Read ta", "Read tb", "Write td"],
    );
    check(
        "CREATE STREAM e (n INT) WITH (KAFKA_TOPIC='te', PARTITIONS=1, VALUE_FORMAT='JSON');",
        &["Create te"],
    );
    check("CREATE STREAM e (n INT) WITH (KAFKA_TOPIC='ta', VALUE_FORMAT='JSON');", &["Read ta"]);
    check(
        "CREATE OR REPLACE STREAM b (k STRING KEY, n INT, x INT) \
             WITH (KAFKA_TOPIC='tb', VALUE_FORMAT='JSON');",
        &["Read tb", "Write tb"],
    );
    check(
        "CREATE OR REPLACE TABLE c WITH (KAFKA_TOPIC='tc', VALUE_FORMAT='JSON') \
             AS SELECT k, COUNT(*) AS n FROM a WHERE k <> 'z' GROUP BY k;",
        &["Read ta", "Write tc"],
    );
    check("DROP STREAM b;", &["Write tb"]);
    check("DROP STREAM b DELETE TOPIC;", &["Delete tb", "Write tb"]);
    check("DROP TABLE c;", &["Write tc"]);
    check("ALTER STREAM b ADD COLUMN x INT;", &["Write tb"]);
    check(&format!("TERMINATE {query};"), &["Write tc"]);
    check(&format!("PAUSE {query};"), &["Write tc"]);
    check(&format!("RESUME {query};"), &["Write tc"]);
    check("TERMINATE ALL;", &["Write tc"]);
    check("DESCRIBE a;", &["Describe ta"]);
    check("DESCRIBE c EXTENDED;", &["Describe tc"]);
    check("EXPLAIN SELECT * FROM a EMIT CHANGES;", &["Describe ta"]);
    check(&format!("EXPLAIN {query};"), &["Describe ta", "Describe tc"]);
    check("ASSERT TOPIC tz;", &["Describe tz"]);
    check("CREATE TYPE t AS INT;", &["Create cluster"]);
    check("DROP TYPE IF EXISTS t;", &["Alter cluster"]);
    check("SHOW STREAMS;", &[]);
    check("SET 'auto.offset.reset' = 'earliest';", &[]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let table = world.metastore.source("C").expect("the table");
    assert_eq!(insertion(table), Right::topic(Operation::Write, "tc"));
}

/// Lets every client describe one topic.
struct Describes(&'static str);

impl Authorizer for Describes {
    fn permits(&self, _: &Arc<str>, _: IpAddr, right: &Right) -> bool {
        *right == Right::topic(Operation::Describe, self.0)
    }

    fn lapse(&self, _: &Arc<str>, _: Proof) -> Option<&'static str> {
        None
    }

    fn audit(&self, _: &Arc<str>, _: IpAddr, _: &'static str, _: Option<&Right>, _: bool) {}
}

#[test]
fn lists_name_a_query_to_those_who_may_describe_all_its_topics() {
    let world = World::new();
    let sees = |caller: &Caller| sees_query(caller, &world.metastore, world.query());
    for topic in ["ta", "tc"] {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let caller = Caller::new("User:ada", address, Proof::Lasting, Arc::new(Describes(topic)));
        assert!(!sees(&caller), "{topic} alone");
    }
    assert!(sees(&Caller::internal()));
}
