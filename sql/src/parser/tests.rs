use crate::ast::expr::{Argument, ExprKind};
use crate::ast::statement::{Assert, Describe, ExplainTarget, QueryTarget, Statement};
use crate::ast::types::TypeKind;
use crate::error::ErrorKind;
use crate::parser::{
    NESTING_MAX, ParseConfig, parse_expression, parse_statement, parse_statements, parse_statements_with,
    parse_type,
};
use crate::span::{Location, Span};
use crate::types::SqlType;
use crate::value::SqlValue;

/// `text` parses to what is printed as `expected`.
fn check(text: &str, expected: &str) {
    let expr = parse_expression(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(expr.to_string(), expected, "{text}");
    let again = parse_expression(&expr.to_sql()).unwrap_or_else(|e| panic!("{}: {e}", expr.to_sql()));
    assert_eq!(again, expr, "{}", expr.to_sql());
}

/// `text` is refused with a message that holds all of `parts`.
fn refused(text: &str, parts: &[&str]) {
    let error = match parse_statements(text) {
        Err(error) => error,
        Ok(parsed) => panic!("{text}: parsed to {parsed:?}"),
    };
    for part in parts {
        assert!(error.message.contains(part), "{text}: {:?} is not in {:?}", part, error.message);
    }
}

#[test]
fn operators_bind_as_ksqldb_has_it() {
    for (text, expected) in [
        ("a or b and not c = d", "(A OR (B AND (NOT (C = D))))"),
        ("a + b * c - d", "((A + (B * C)) - D)"),
        ("a || b + c || d", "((A || (B + C)) || D)"),
        ("a - b - c", "((A - B) - C)"),
        ("-a * b", "(-A * B)"),
        ("- -a", "-(-A)"),
        ("-(5)", "-(5)"),
        ("- 5", "-5"),
        ("+5", "+(5)"),
        ("a -5", "(A - 5)"),
        ("a - -5", "(A - -5)"),
        ("not a is null and b", "((NOT (A IS NULL)) AND B)"),
        ("a between 1 and 2 and b", "((A BETWEEN 1 AND 2) AND B)"),
        ("a not between b + 1 and 2", "(A NOT BETWEEN (B + 1) AND 2)"),
        ("a in (1, b or c)", "(A IN (1, (B OR C)))"),
        ("a not in ('x')", "(A NOT IN ('x'))"),
        ("a like 'x%' escape '!' or b", "((A LIKE 'x%' ESCAPE '!') OR B)"),
        ("a is not distinct from b || c", "(A IS NOT DISTINCT FROM (B || C))"),
        ("a <> b != c", ""),
        ("(a < b) < c", "((A < B) < C)"),
        ("a % b / c", "((A % B) / C)"),
        ("(a = b) is null", "((A = B) IS NULL)"),
        ("x.`y z`->f[1]->g", "X.y z->F[1]->G"),
        ("(-a)[1]", "(-A)[1]"),
        ("-a[1]", "-A[1]"),
    ] {
        if expected.is_empty() {
            assert!(parse_expression(text).is_err(), "{text}");
        } else {
            check(text, expected);
        }
    }
}

#[test]
fn predicates_do_not_chain() {
    for text in [
        "a < b < c",
        "a = b = c",
        "a is null is null",
        "a between 1 and 2 = b",
        "a in (1) in (2)",
        "a = not b",
    ] {
        let error = parse_expression(text).expect_err(text);
        assert!(error.message.contains("Syntax error at or near"), "{text}: {}", error.message);
    }
}

#[test]
fn primaries() {
    for (text, expected) in [
        ("case when a then 1 when b then 2 else 3 end", "(CASE WHEN A THEN 1 WHEN B THEN 2 ELSE 3 END)"),
        ("case a when 1 then 'x' end", "(CASE A WHEN 1 THEN 'x' END)"),
        (
            "cast(a as array<struct<b int, `c d` decimal(4,2)>>)",
            "CAST(A AS ARRAY<STRUCT<B INTEGER, c d DECIMAL(4, 2)>>)",
        ),
        ("count(*)", "COUNT()"),
        ("count()", "COUNT()"),
        ("`ucase`(x)", "UCASE(X)"),
        ("array[]", "ARRAY[]"),
        ("array[1, 'it''s']", "ARRAY[1, 'it''s']"),
        ("array[1][2]", "ARRAY[1][2]"),
        ("map('a' := v, k:=1)", "MAP('a':=V, K:=1)"),
        ("struct(f := 1, `g` := struct())", "STRUCT(F:=1, g:=STRUCT())"),
        ("transform(a, x => x + 1)", "TRANSFORM(A, X => (X + 1))"),
        ("reduce(m, 0, (s, k, v) => s + v)", "REDUCE(M, 0, (S, K, V) => (S + V))"),
        ("dateadd(days, 1, d)", "DATEADD(DAYS, 1, D)"),
        ("dateadd(day, 1, d)", "DATEADD(DAY, 1, D)"),
        ("array + map", "(ARRAY + MAP)"),
        ("1abc + 0x1f", "(1ABC + 0X1F)"),
        ("a@b", "A@B"),
        ("f(\"Q\")", "F(Q)"),
        ("null", "null"),
        ("TRUE", "true"),
    ] {
        check(text, expected);
    }
}

#[test]
fn a_time_unit_that_may_be_a_column_says_so() {
    for (text, column) in [("f(day)", true), ("f(days)", false), ("f(millisecond, 1)", false)] {
        let ExprKind::Call { arguments, .. } = parse_expression(text).expect(text).kind else {
            panic!("{text}")
        };
        let Argument::Unit(unit) = &arguments[0] else { panic!("{text}") };
        assert_eq!(unit.column.is_some(), column, "{text}");
    }
}

#[test]
fn literals_have_the_type_of_their_form() {
    for (text, value, sql_type) in [
        ("2147483647", SqlValue::Integer(i32::MAX), SqlType::Integer),
        ("2147483648", SqlValue::Bigint(2_147_483_648), SqlType::Bigint),
        ("-9223372036854775808", SqlValue::Bigint(i64::MIN), SqlType::Bigint),
        ("1.5", SqlValue::Decimal("1.5".parse().expect("decimal")), SqlType::decimal(2, 1)),
        (".05", SqlValue::Decimal("0.05".parse().expect("decimal")), SqlType::decimal(3, 2)),
        ("0.10", SqlValue::Decimal("0.10".parse().expect("decimal")), SqlType::decimal(3, 2)),
        ("7.", SqlValue::Decimal("7".parse().expect("decimal")), SqlType::decimal(1, 0)),
        ("DECIMAL '-1.20'", SqlValue::Decimal("-1.20".parse().expect("decimal")), SqlType::decimal(3, 2)),
        ("1E3", SqlValue::Double(1000.0), SqlType::Double),
        (".5e-1", SqlValue::Double(0.05), SqlType::Double),
        ("'a''b\\n'", SqlValue::String("a'b\\n".to_owned()), SqlType::String),
    ] {
        let expr = parse_expression(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let ExprKind::Literal(literal) = &expr.kind else { panic!("{text}") };
        assert_eq!((&literal.value, literal.sql_type.as_ref()), (&value, Some(&sql_type)), "{text}");
        assert_eq!(parse_expression(&expr.to_sql()).expect(text), expr, "{}", expr.to_sql());
    }
    for (text, message) in [
        ("9223372036854775808", "Invalid numeric literal: 9223372036854775808"),
        ("-9223372036854775809", "Invalid numeric literal: -9223372036854775809"),
        ("1E309", "Number overflows DOUBLE: 1E309"),
        ("DATE '2020-01-01'", "Unknown type: DATE"),
    ] {
        assert!(parse_expression(text).expect_err(text).message.contains(message), "{text}");
    }
}

#[test]
fn types() {
    for (text, expected) in [
        ("int", "INTEGER"),
        ("varchar(10)", "STRING"),
        ("varchar(STRING)", "STRING"),
        ("map<string, array<array<bigint>>>", "MAP<STRING, ARRAY<ARRAY<BIGINT>>>"),
        ("int array array", "ARRAY<ARRAY<INTEGER>>"),
        ("struct<>", "STRUCT<>"),
        ("struct<a int, b struct<c my_type>>", "STRUCT<A INTEGER, B STRUCT<C MY_TYPE>>"),
        ("decimal(4, 2)", "DECIMAL(4, 2)"),
    ] {
        let parsed = parse_type(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(parsed.to_string(), expected);
        assert_eq!(parse_type(&parsed.to_sql()).expect(text), parsed);
    }
    for text in [
        "decimal",
        "decimal(2)",
        "decimal(2,3)",
        "decimal(0,0)",
        "decimal(77,0)",
        "array<null>",
        "array<int",
        "int(x)",
    ] {
        assert!(parse_type(text).is_err(), "{text}");
    }
    let error = parse_type("foo").expect("a name").resolve(&|_| None).expect_err("unknown");
    assert!(error.message.contains("Cannot resolve unknown type: FOO"));
    assert!(matches!(parse_type("`INT`").expect("quoted").kind, TypeKind::Custom(_)));
}

#[test]
fn statements_print_as_one_canonical_line() {
    let config = ParseConfig { test_statements: true };
    for text in [
        "CREATE STREAM S (K STRING KEY, `v` ARRAY<INTEGER>, H BYTES HEADER('x''y'), A ARRAY<STRUCT<KEY STRING, VALUE BYTES>> HEADERS) WITH (KAFKA_TOPIC='t', PARTITIONS=-1, X=true, 'y'=1.5, Z=NULL)",
        "CREATE OR REPLACE TABLE T (ID INTEGER PRIMARY KEY, C MY_TYPE)",
        "CREATE SOURCE TABLE IF NOT EXISTS T WITH (FORMAT='AVRO')",
        "CREATE STREAM IF NOT EXISTS S WITH (FORMAT='JSON') AS SELECT * FROM A PARTITION BY (NULL) EMIT CHANGES",
        "CREATE TABLE T AS SELECT A.*, X->*, COUNT() AS `c` FROM A WINDOW TUMBLING (SIZE 1 HOURS, RETENTION 2 DAYS, GRACE PERIOD 3 MINUTES) WHERE (A = 1) GROUP BY (A, B) HAVING (COUNT() > 1) EMIT FINAL",
        "SELECT X FROM A WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 5 SECONDS) GROUP BY (X) EMIT CHANGES LIMIT 5",
        "SELECT X FROM A WINDOW SESSION (10 SECONDS) GROUP BY (X)",
        "SELECT A.X FROM A AS L INNER JOIN B AS R WITHIN (1 HOURS, 2 DAYS) GRACE PERIOD 5 MILLISECONDS ON (L.A = R.B) LEFT OUTER JOIN C ON (L.A = C.A) RIGHT OUTER JOIN D ON true FULL OUTER JOIN E WITHIN 1 DAYS ON true",
        "SELECT DISTINCT A FROM B ORDER BY A ASC NULLS FIRST, B DESC LIMIT 3 OFFSET 4",
        "INSERT INTO A SELECT * FROM B",
        "INSERT INTO A WITH (QUERY_ID='q') SELECT * FROM B",
        "INSERT INTO A (X, `y`) VALUES (1, STRUCT(A:=-5))",
        "DROP STREAM IF EXISTS S DELETE TOPIC",
        "DROP TABLE `s-t`",
        "ALTER STREAM S ADD COLUMN A INTEGER, ADD COLUMN `COLUMN` STRING",
        "ALTER SYSTEM 'a'='b'",
        "TERMINATE ALL",
        "PAUSE CSAS_X_1",
        "RESUME `q-1`",
        "CREATE TYPE IF NOT EXISTS ADDR AS STRUCT<A STRING>",
        "DROP TYPE IF EXISTS ADDR",
        "SET 'a.b'='c''d'",
        "UNSET 'a.b'",
        "DEFINE name = 'v'",
        "UNDEFINE name",
        "SHOW STREAMS EXTENDED",
        "SHOW TABLES",
        "SHOW QUERIES EXTENDED",
        "SHOW ALL TOPICS EXTENDED",
        "SHOW TOPICS",
        "SHOW FUNCTIONS",
        "SHOW TYPES",
        "SHOW PROPERTIES",
        "SHOW VARIABLES",
        "SHOW CONNECTORS",
        "SHOW SOURCE CONNECTORS",
        "SHOW SINK CONNECTORS",
        "SHOW CONNECTOR PLUGINS",
        "DESCRIBE S EXTENDED",
        "DESCRIBE STREAMS",
        "DESCRIBE TABLES EXTENDED",
        "DESCRIBE `TABLES`",
        "DESCRIBE FUNCTION F",
        "DESCRIBE CONNECTOR C",
        "EXPLAIN CTAS_T_1",
        "EXPLAIN SELECT * FROM A",
        "PRINT 'Topic' FROM BEGINNING INTERVAL 2 LIMIT 3",
        "ASSERT TOPIC 't' WITH (PARTITIONS=1) TIMEOUT 5 SECONDS",
        "ASSERT NOT EXISTS TOPIC 't'",
        "ASSERT SCHEMA SUBJECT 's' ID 3 TIMEOUT 5 SECONDS",
        "ASSERT NOT EXISTS SCHEMA ID 3",
        "ASSERT VALUES S (A, B) VALUES (1, 2)",
        "ASSERT NULL VALUES S (A) KEY (1)",
        "ASSERT STREAM S (A INTEGER KEY) WITH (FORMAT='JSON')",
        "ASSERT TABLE T",
        "CREATE SINK CONNECTOR IF NOT EXISTS C WITH ('connector.class'='x', 'Connector.class'='y')",
        "DROP CONNECTOR IF EXISTS C",
        "RUN SCRIPT 'a.sql'",
    ] {
        let parsed =
            parse_statements_with(&format!("{text};"), config).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(parsed[0].statement.to_sql(), text);
    }
}

#[test]
fn other_spellings_parse_to_the_same_statement() {
    for (text, canonical) in [
        ("list topics", "SHOW TOPICS"),
        (
            "select a b, c as d from s t join u on a = b",
            "SELECT A AS B, C AS D FROM S AS T INNER JOIN U ON (A = B)",
        ),
        ("select a from s emit changes", "SELECT A FROM S EMIT CHANGES"),
        ("select a from emit emit changes", "SELECT A FROM `EMIT` EMIT CHANGES"),
        ("select a from s order order by a", "SELECT A FROM S AS `ORDER` ORDER BY A ASC"),
        ("select a from s offset 3", "SELECT A FROM S OFFSET 3"),
        (
            "select a from s left join t within 1 day on a=b",
            "SELECT A FROM S LEFT OUTER JOIN T WITHIN 1 DAYS ON (A = B)",
        ),
        (
            "select count(*) from s window w tumbling (size 1 second) group by a, b",
            "SELECT COUNT() FROM S WINDOW TUMBLING (SIZE 1 SECONDS) GROUP BY (A, B)",
        ),
        ("select a from s group by (a) + b, c", "SELECT A FROM S GROUP BY ((A + B), C)"),
        ("select a from s group by ()", "SELECT A FROM S GROUP BY ()"),
        ("alter table t add c int", "ALTER TABLE T ADD COLUMN C INTEGER"),
        ("alter table t add column int", "ALTER TABLE T ADD COLUMN `COLUMN` INTEGER"),
        ("print My_Topic sample 3", "PRINT 'My_Topic' INTERVAL 3"),
        ("define A_b = 'x'", "DEFINE A_b = 'x'"),
        ("describe tables", "DESCRIBE TABLES"),
        (
            "create stream s (id int key) with (kafka_topic='t', \"partitions\"=1)",
            "CREATE STREAM S (ID INTEGER KEY) WITH (KAFKA_TOPIC='t', 'partitions'=1)",
        ),
    ] {
        let parsed = parse_statement(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(parsed.statement.to_sql(), canonical, "{text}");
        assert_eq!(parse_statement(canonical).expect(canonical).statement, parsed.statement, "{canonical}");
    }
}

#[test]
fn a_request_is_cut_into_statements_with_their_text() {
    let text = " -- first\nSHOW STREAMS ; ;\n  /* é */ drop table é_;";
    assert!(parse_statements(text).is_err());
    let text = " -- first ü\nSHOW STREAMS ; ;\n  /* é */ drop /* x */ table `a`; -- end";
    let parsed = parse_statements(text).expect("valid");
    let texts: Vec<_> = parsed.iter().map(|p| p.text.as_str()).collect();
    assert_eq!(texts, ["SHOW STREAMS ;", "drop /* x */ table `a`;"]);
    let at = |line, column| Location { line, column };
    assert_eq!(parsed[0].span, Span { start: at(2, 1), end: at(2, 15) });
    assert_eq!(parsed[1].span, Span { start: at(3, 11), end: at(3, 34) });
    assert!(parse_statements(" -- nothing\n;").expect("empty").is_empty());
}

#[test]
fn spans_point_at_the_text_of_their_node() {
    let expr = parse_expression("a +\n  f(b, 'x')->c").expect("valid");
    let ExprKind::Arithmetic { right, .. } = &expr.kind else { panic!("{expr}") };
    let at = |line, column| Location { line, column };
    assert_eq!(expr.span(), Span { start: at(1, 1), end: at(2, 15) });
    assert_eq!(right.span(), Span { start: at(2, 3), end: at(2, 15) });
}

#[test]
fn explain_tells_an_id_from_a_statement() {
    let explain = |text: &str| match parse_statement(text).expect(text).statement {
        Statement::Explain(target) => target,
        other => panic!("{other:?}"),
    };
    assert!(matches!(explain("explain show;"), ExplainTarget::Query(_)));
    assert!(matches!(explain("explain show streams;"), ExplainTarget::Statement { .. }));
    assert!(matches!(explain("explain ctas_x_1"), ExplainTarget::Query(id) if id.name == "CTAS_X_1"));
}

#[test]
fn names_fold_unless_quoted() {
    let Statement::Describe(Describe::Source { name, .. }) =
        parse_statement("describe \"a_b\"").expect("valid").statement
    else {
        panic!("describe")
    };
    assert_eq!(name.name, "a_b");
    let Statement::Terminate(QueryTarget::Query(id)) =
        parse_statement("terminate csas_a_1").expect("valid").statement
    else {
        panic!("terminate")
    };
    assert_eq!(id.name, "CSAS_A_1");
    let Statement::Assert(Assert::Topic { topic, .. }) =
        parse_statement("assert topic Ab").expect("valid").statement
    else {
        panic!("assert")
    };
    assert_eq!(topic, "Ab");
}

#[test]
fn refusals_say_where_and_what() {
    for (text, parts) in [
        ("SELEC 1;", &["line 1:1: Syntax Error", "Unknown statement 'SELEC'", "Did you mean 'SELECT'?"][..]),
        ("RUN SCRIPT 'x';", &["Unknown statement 'RUN'"]),
        ("ASSERT VALUES foo (id INT) VALUES (123);", &["Syntax error at or near 'VALUES' at line 1:8"]),
        (
            "CREATE STREAM INPUT (K DOUBLE (KEY));",
            &["line 1:32: Syntax Error\nExpecting {'STRING', INTEGER_VALUE}"],
        ),
        (
            "CREATE TABLE INPUT (ID INT KEY);",
            &["Line: 1, Col: 21: Column `ID` is a 'KEY' column: please use 'PRIMARY KEY' for tables."],
        ),
        (
            "CREATE STREAM INPUT (ID INT PRIMARY KEY);",
            &["Line: 1, Col: 22: Column `ID` is a 'PRIMARY KEY' column: please use 'KEY' for streams."],
        ),
        (
            "SELECT * FROM select;",
            &["Syntax error at or near 'select' at line 1:15", "reserved keyword and must be escaped"],
        ),
        ("SELECT a FROM b WHERE a IN ();", &["line 1:29: Syntax Error"]),
        ("SELECT f(a FROM b;", &["line 1:12: Syntax Error", "missing ')' at 'FROM'"]),
        ("SELECT * FROM a", &["missing ';' at '<EOF>'"]),
        ("SELECT * FROM f(a);", &["Syntax Error"]),
        ("SELECT 'abc FROM b;", &["line 1:8: Syntax Error", "Unterminated string"]),
        ("SELECT a FROM b LIMIT 2.5;", &["Value must be integer for command: LIMIT"]),
        ("SELECT a FROM b LIMIT -1;", &["negative integers in the LIMIT clause"]),
        ("SELECT STRUCT(a:=1, A:=2) FROM b;", &["Duplicate field names found in STRUCT"]),
        ("CREATE STREAM a WITH (x=1, X=2);", &["Duplicate property in WITH clause: X"]),
        ("CREATE STREAM a WITH (x=y);", &["Expecting {STRING, INTEGER_VALUE, DECIMAL_VALUE, TRUE, FALSE}"]),
        ("CREATE STREAM `a b` WITH (x=1);", &["Line: 1, Col: 15", "Source names may only contain"]),
        ("SELECT TRANSFORM(x => 1) FROM a;", &["a lambda cannot be the first argument"]),
        ("SELECT TRANSFORM(a, x => 1, 2) FROM a;", &["lambdas must be the last arguments"]),
        ("INSERT INTO a VALUES (1), (2);", &["Syntax error at or near ','"]),
        ("SELECT ${x} FROM a;", &["Syntax error at or near '$'"]),
        ("SHOW;", &["Expecting {", "…}"]),
    ] {
        refused(text, parts);
    }
    let error = parse_expression("a at time zone 'x'").expect_err("unsupported");
    assert_eq!(error.kind, ErrorKind::Unsupported);
}

#[test]
fn nesting_is_refused_before_the_stack_ends() {
    let deep = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
    assert!(parse_expression(&deep(NESTING_MAX as usize - 2)).is_ok());
    for text in [
        deep(10_000),
        "-".repeat(3).replace('-', "- ").repeat(5_000) + "a",
        "not ".repeat(10_000) + "a",
        "f(".repeat(10_000),
        format!("a{}", " + a".repeat(10_000)),
        format!("a{}", "->a".repeat(10_000)),
        format!("a{}", "[1]".repeat(10_000)),
        "case when ".repeat(10_000),
        "array[".repeat(10_000),
        "cast(".repeat(10_000),
    ] {
        let error = parse_expression(&text).expect_err("too deep");
        assert!(error.message.contains("nests too deeply"), "{}", error.message);
    }
    assert!(parse_type(&"array<".repeat(10_000)).is_err());
    assert!(parse_type(&format!("int{}", " array".repeat(10_000))).is_err());
    assert!(parse_statement(&"explain ".repeat(10_000)).is_err());
    let chain = format!("a{}", " or a = 1".repeat(400));
    let expr = parse_expression(&chain).expect("a long chain");
    assert_eq!(parse_expression(&chain).expect("a long chain"), expr);
}
