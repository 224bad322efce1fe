//! The parser against random input: it never panics, and what it prints parses to the same tree.

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use proptest::test_runner::RngSeed;

use weir_sql::ast::expr::{Argument, CaseBranch, Expr, ExprKind, Lambda, UnaryOp};
use weir_sql::ast::ident::Ident;
use weir_sql::ast::types::{TypeKind, TypeName};
use weir_sql::expr::ir::{ArithmeticOp, CompareOp, LogicalOp};
use weir_sql::parser::split::split_statements;
use weir_sql::parser::{ParseConfig, parse_expression, parse_statements_with};
use weir_sql::span::Span;
use weir_sql::types::SqlType;
use weir_sql::value::{Literal, SqlValue};
use weir_sql::variables::substitute;

/// Words and signs that grammar rules turn on.
const VOCABULARY: [&str; 110] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "HAVING",
    "PARTITION",
    "EMIT",
    "CHANGES",
    "FINAL",
    "LIMIT",
    "AS",
    "CREATE",
    "OR",
    "REPLACE",
    "SOURCE",
    "STREAM",
    "TABLE",
    "IF",
    "NOT",
    "EXISTS",
    "WITH",
    "INSERT",
    "INTO",
    "VALUES",
    "DROP",
    "DELETE",
    "TOPIC",
    "TERMINATE",
    "ALL",
    "ALTER",
    "ADD",
    "COLUMN",
    "TYPE",
    "SET",
    "UNSET",
    "DEFINE",
    "SHOW",
    "LIST",
    "TABLES",
    "EXTENDED",
    "DESCRIBE",
    "FUNCTION",
    "EXPLAIN",
    "PRINT",
    "BEGINNING",
    "ASSERT",
    "NULL",
    "SCHEMA",
    "SUBJECT",
    "ID",
    "TIMEOUT",
    "CONNECTOR",
    "SINK",
    "AND",
    "BETWEEN",
    "IN",
    "LIKE",
    "ESCAPE",
    "IS",
    "DISTINCT",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "ARRAY",
    "MAP",
    "STRUCT",
    "DECIMAL",
    "INT",
    "JOIN",
    "LEFT",
    "OUTER",
    "ON",
    "WITHIN",
    "GRACE",
    "PERIOD",
    "WINDOW",
    "TUMBLING",
    "SIZE",
    "HOURS",
    "DAY",
    "ORDER",
    "OFFSET",
    "KEY",
    "PRIMARY",
    "a",
    "b",
    "`q`",
    "\"r\"",
    "1",
    "2.5",
    "3E4",
    "'s'",
    "(",
    ")",
    "[",
    "]",
    "<",
    ">",
    ",",
    ";",
    ".",
    "->",
    "=>",
    ":=",
    "=",
    "*",
];
const MORE: [&str; 16] =
    ["+", "-", "/", "%", "||", "<>", "!=", "<=", ">=", ">>", "--", "/*", "*/", "'", "`", "${x}"];

fn soup() -> impl Strategy<Value = String> {
    let word = prop_oneof![8 => select(VOCABULARY.to_vec()), 2 => select(MORE.to_vec())];
    vec((word, select(vec![" ", "\n", "", " "])), 0..40)
        .prop_map(|words| words.into_iter().flat_map(|(word, gap)| [word, gap]).collect())
}

fn ident() -> impl Strategy<Value = Ident> {
    let names =
        ["A", "B1", "_C", "lower", "a b", "SELECT", "ARRAY", "DAY", "ORDER", "é`\"'", "1X", "MAP", ""];
    select(names.to_vec()).prop_map(|name| Ident::new(name, Span::default()))
}

fn literal() -> impl Strategy<Value = Literal> {
    let typed = |value, sql_type| Literal { value, sql_type: Some(sql_type) };
    prop_oneof![
        Just(Literal { value: SqlValue::Null, sql_type: None }),
        any::<bool>().prop_map(move |v| typed(SqlValue::Boolean(v), SqlType::Boolean)),
        any::<i32>().prop_map(move |v| typed(SqlValue::Integer(v), SqlType::Integer)),
        (i64::from(i32::MAX) + 1..).prop_map(move |v| typed(SqlValue::Bigint(v), SqlType::Bigint)),
        "[^\u{0}]{0,8}".prop_map(move |v| typed(SqlValue::String(v), SqlType::String)),
        any::<f64>()
            .prop_filter("numbers are finite", |v| v.is_finite())
            .prop_map(move |v| typed(SqlValue::Double(v), SqlType::Double)),
        ("-?[1-9][0-9]{0,9}", "[0-9]{0,9}").prop_map(move |(whole, fraction)| {
            let digits = whole.trim_start_matches('-').len() + fraction.len();
            let value = format!("{whole}.{fraction}").parse().expect("a decimal");
            let sql_type = SqlType::decimal(digits as u8, fraction.len() as u8);
            typed(SqlValue::Decimal(value), sql_type)
        }),
    ]
}

fn type_name() -> impl Strategy<Value = TypeName> {
    let of = |kind| TypeName { kind, place: Span::default().into() };
    let scalars = vec![SqlType::Integer, SqlType::String, SqlType::decimal(4, 2), SqlType::Timestamp];
    let leaf = prop_oneof![
        select(scalars).prop_map(move |t| of(TypeKind::Scalar(t))),
        Just(of(TypeKind::Custom(Ident::new("MY_TYPE", Span::default())))),
    ];
    leaf.prop_recursive(3, 8, 3, move |inner| {
        prop_oneof![
            inner.clone().prop_map(move |t| of(TypeKind::Array(Box::new(t)))),
            (inner.clone(), inner.clone())
                .prop_map(move |(k, v)| of(TypeKind::Map(Box::new(k), Box::new(v)))),
            vec((ident(), inner), 0..3).prop_map(move |fields| of(TypeKind::Struct(fields))),
        ]
    })
}

fn node(kind: ExprKind) -> Expr {
    Expr::new(kind, Span::default())
}

fn expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        literal().prop_map(|literal| node(ExprKind::Literal(literal))),
        (proptest::option::of(ident()), ident())
            .prop_map(|(qualifier, name)| node(ExprKind::Column { qualifier, name })),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        prop_oneof![operators(inner.clone()), predicates(inner.clone()), constructors(inner)]
    })
}

fn operators(inner: impl Strategy<Value = Expr> + Clone + 'static) -> impl Strategy<Value = Expr> {
    let pair = (inner.clone().prop_map(Box::new), inner.clone().prop_map(Box::new));
    let arithmetic = select(vec![
        ArithmeticOp::Add,
        ArithmeticOp::Subtract,
        ArithmeticOp::Multiply,
        ArithmeticOp::Divide,
        ArithmeticOp::Modulus,
    ]);
    let compare =
        select(vec![CompareOp::Equal, CompareOp::NotEqual, CompareOp::Less, CompareOp::GreaterOrEqual]);
    prop_oneof![
        (select(vec![UnaryOp::Plus, UnaryOp::Minus]), inner.clone())
            .prop_map(|(op, e)| node(ExprKind::Unary { op, operand: Box::new(e) })),
        inner.clone().prop_map(|e| node(ExprKind::Not(Box::new(e)))),
        (select(vec![LogicalOp::And, LogicalOp::Or]), pair.clone())
            .prop_map(|(op, (left, right))| node(ExprKind::Logical { op, left, right })),
        (compare, pair.clone()).prop_map(|(op, (left, right))| node(ExprKind::Compare { op, left, right })),
        (arithmetic, pair.clone()).prop_map(|(op, (left, right))| node(ExprKind::Arithmetic {
            op,
            left,
            right
        })),
        pair.clone().prop_map(|(left, right)| node(ExprKind::Concat { left, right })),
        pair.prop_map(|(base, index)| node(ExprKind::Subscript { base, index })),
        (inner, ident()).prop_map(|(e, field)| node(ExprKind::Field { base: Box::new(e), field })),
    ]
}

fn predicates(inner: impl Strategy<Value = Expr> + Clone + 'static) -> impl Strategy<Value = Expr> {
    let boxed = inner.clone().prop_map(Box::new);
    prop_oneof![
        (any::<bool>(), boxed.clone())
            .prop_map(|(negated, operand)| node(ExprKind::IsNull { negated, operand })),
        (any::<bool>(), boxed.clone(), boxed.clone())
            .prop_map(|(negated, left, right)| node(ExprKind::IsDistinctFrom { negated, left, right })),
        (any::<bool>(), boxed.clone(), boxed.clone(), boxed.clone()).prop_map(
            |(negated, operand, low, high)| node(ExprKind::Between { negated, operand, low, high })
        ),
        (any::<bool>(), boxed.clone(), vec(inner, 1..3))
            .prop_map(|(negated, operand, list)| node(ExprKind::In { negated, operand, list })),
        (any::<bool>(), boxed.clone(), boxed, proptest::option::of(select(vec!['!', '\'', 'é']))).prop_map(
            |(negated, operand, pattern, escape)| node(ExprKind::Like { negated, operand, pattern, escape })
        ),
    ]
}

fn constructors(inner: impl Strategy<Value = Expr> + Clone + 'static) -> impl Strategy<Value = Expr> {
    let optional = proptest::option::of(inner.clone().prop_map(Box::new));
    let branch = (inner.clone(), inner.clone()).prop_map(|(when, then)| CaseBranch { when, then });
    let lambda = (vec(ident(), 1..3), inner.clone())
        .prop_filter("parameters are unique", |(names, _)| names.len() < 2 || names[0] != names[1])
        .prop_map(|(parameters, body)| {
            Argument::Lambda(Lambda { parameters, body: Box::new(body), place: Span::default().into() })
        });
    prop_oneof![
        (optional.clone(), vec(branch, 1..3), optional)
            .prop_map(|(operand, branches, otherwise)| node(ExprKind::Case { operand, branches, otherwise })),
        (inner.clone().prop_map(Box::new), type_name())
            .prop_map(|(operand, target)| node(ExprKind::Cast { operand, target })),
        (vec(inner.clone(), 1..3), vec(lambda, 0..2)).prop_map(|(values, lambdas)| {
            let arguments = values.into_iter().filter(|e| !is_unit(e)).map(Argument::Expr).chain(lambdas);
            let mut arguments: Vec<Argument> = arguments.collect();
            if matches!(arguments.first(), Some(Argument::Lambda(_))) {
                arguments.clear();
            }
            node(ExprKind::Call { function: Ident::new("F", Span::default()), arguments })
        }),
        vec(inner.clone(), 0..3).prop_map(|items| node(ExprKind::Array(items))),
        vec((inner.clone(), inner.clone()), 0..3).prop_map(|entries| node(ExprKind::Map(entries))),
        (ident(), inner).prop_map(|(name, value)| node(ExprKind::Struct(vec![(name, value)]))),
    ]
}

/// A column named like a time unit is an argument of another kind.
fn is_unit(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Column { qualifier: None, name } if name.name == "DAY")
}

/// The same inputs in every run, unless `WEIR_SEED` is another number or "random".
fn config() -> ProptestConfig {
    let rng_seed = match std::env::var("WEIR_SEED").as_deref() {
        Err(_) => RngSeed::Fixed(20_261_130),
        Ok("random") => RngSeed::Random,
        Ok(text) => RngSeed::Fixed(text.parse().expect("WEIR_SEED is a number or \"random\"")),
    };
    ProptestConfig { cases: 2_000, failure_persistence: None, rng_seed, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn printed_expressions_parse_to_the_same_tree(expr in expr()) {
        let text = expr.to_sql();
        let parsed = parse_expression(&text).map_err(|e| proptest::test_runner::TestCaseError::fail(format!("{text}: {e}")))?;
        prop_assert_eq!(parsed, expr, "{}", text);
    }

    #[test]
    fn token_soup_never_panics_and_round_trips(text in soup()) {
        let _ = parse_expression(&text);
        if let Ok(statements) = parse_statements_with(&text, ParseConfig { test_statements: true }) {
            for parsed in statements {
                let printed = format!("{};", parsed.statement.to_sql());
                let again = parse_statements_with(&printed, ParseConfig { test_statements: true });
                prop_assert_eq!(again.map(|s| s[0].statement.clone()), Ok(parsed.statement), "{}", printed);
            }
        }
    }

    #[test]
    fn any_text_is_scanned_without_loss(text in "[-a;'`\"/*@$\\{\\}é\n ]{0,40}") {
        let script = split_statements(&text);
        for fragment in script.statements.iter().chain(&script.rest) {
            prop_assert_eq!(&text[fragment.offset..fragment.offset + fragment.text.len()], fragment.text);
        }
        let variables = [("a".to_owned(), "'x'".to_owned())].into();
        let _ = substitute(&text, &variables);
        let _ = parse_statements_with(&text, ParseConfig::default());
    }
}
