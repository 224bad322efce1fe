use super::*;
use crate::auth::acl::EVERYBODY;
use crate::auth::acl_filter::{AclFilter, PatternFilter};

const ALICE: Subject<'static> = Subject { principal: "User:alice", host: "10.0.0.1" };
const BOB: Subject<'static> = Subject { principal: "User:bob", host: "10.0.0.2" };

fn acl(permission: Permission, principal: &str, operation: Operation, name: &str) -> Acl {
    let (pattern_type, name) = match name.strip_suffix("...") {
        Some(prefix) => (PatternType::Prefixed, prefix),
        None => (PatternType::Literal, name),
    };
    Acl {
        resource_type: ResourceType::Topic,
        pattern_type,
        name: name.to_owned(),
        principal: principal.to_owned(),
        host: WILDCARD.to_owned(),
        operation,
        permission,
    }
}

fn allow(principal: &str, operation: Operation, name: &str) -> Acl {
    acl(Permission::Allow, principal, operation, name)
}

fn deny(principal: &str, operation: Operation, name: &str) -> Acl {
    acl(Permission::Deny, principal, operation, name)
}

fn set(acls: impl IntoIterator<Item = Acl>) -> AclSet {
    let mut set = AclSet::default();
    acls.into_iter().for_each(|acl| set.insert(acl));
    set
}

fn decide(set: &AclSet, subject: Subject<'_>, operation: Operation, name: &str) -> Decision {
    set.decide(subject, operation, ResourceType::Topic, name)
}

#[test]
fn prohibitions_win_over_permissions_of_any_pattern() {
    let rules = set([
        allow(EVERYBODY, Operation::Read, "*"),
        allow("User:alice", Operation::Write, "orders..."),
        deny("User:alice", Operation::Write, "orders-secret..."),
        deny("User:bob", Operation::All, "payroll"),
    ]);
    assert_eq!(decide(&rules, ALICE, Operation::Read, "payroll"), Decision::Allowed);
    assert_eq!(decide(&rules, BOB, Operation::Read, "payroll"), Decision::Denied);
    assert_eq!(decide(&rules, ALICE, Operation::Write, "orders-1"), Decision::Allowed);
    assert_eq!(decide(&rules, ALICE, Operation::Write, "orders"), Decision::Allowed);
    assert_eq!(decide(&rules, ALICE, Operation::Write, "order"), Decision::Denied);
    assert_eq!(decide(&rules, ALICE, Operation::Write, "orders-secret-1"), Decision::Denied);
    assert_eq!(decide(&rules, BOB, Operation::Write, "orders-1"), Decision::Denied);
}

#[test]
fn permissions_imply_describing_and_prohibitions_do_not() {
    use Operation::{Alter, AlterConfigs, Create, Delete, Describe, DescribeConfigs, Read, Write};
    for operation in [Read, Write, Delete, Alter, Describe] {
        let rules = set([allow("User:alice", operation, "t")]);
        assert_eq!(decide(&rules, ALICE, Describe, "t"), Decision::Allowed, "{operation:?}");
    }
    for operation in [Create, AlterConfigs, DescribeConfigs] {
        let rules = set([allow("User:alice", operation, "t")]);
        assert_eq!(decide(&rules, ALICE, Describe, "t"), Decision::Denied, "{operation:?}");
    }
    let rules = set([allow("User:alice", AlterConfigs, "t")]);
    assert_eq!(decide(&rules, ALICE, DescribeConfigs, "t"), Decision::Allowed);
    let rules = set([allow("User:alice", Operation::All, "t"), deny("User:alice", Read, "t")]);
    assert_eq!(decide(&rules, ALICE, Describe, "t"), Decision::Allowed);
    assert_eq!(decide(&rules, ALICE, Read, "t"), Decision::Denied);
}

#[test]
fn a_permission_includes_no_other_operation() {
    use Operation::{All, Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
    for given in Operation::ALL {
        for wanted in Operation::ALL {
            let is_included = given == wanted
                || *given == All
                || (*wanted == Describe && [Read, Write, Delete, Alter].contains(given))
                || (*given == AlterConfigs && *wanted == DescribeConfigs);
            let rules = set([allow("User:alice", *given, "t")]);
            let expected = if is_included { Decision::Allowed } else { Decision::Denied };
            assert_eq!(decide(&rules, ALICE, *wanted, "t"), expected, "{given:?} for {wanted:?}");
        }
    }
}

#[test]
fn hosts_types_and_absence_count() {
    let mut at_home = allow("User:alice", Operation::Read, "t");
    at_home.host = "10.0.0.1".to_owned();
    let rules = set([at_home]);
    assert_eq!(decide(&rules, ALICE, Operation::Read, "t"), Decision::Allowed);
    let abroad = Subject { host: "10.0.0.9", ..ALICE };
    assert_eq!(decide(&rules, abroad, Operation::Read, "t"), Decision::Denied);
    assert_eq!(decide(&rules, ALICE, Operation::Read, "u"), Decision::NoRule);
    assert_eq!(rules.decide(ALICE, Operation::Read, ResourceType::Group, "t"), Decision::NoRule);
}

#[test]
fn removed_rules_have_no_effect() {
    let rules = [
        allow("User:alice", Operation::Read, "ab..."),
        allow("User:alice", Operation::Write, "ab..."),
        allow("User:alice", Operation::Read, "t"),
    ];
    let mut set = set(rules.clone());
    set.remove(&rules[0]);
    assert_eq!(decide(&set, ALICE, Operation::Read, "abc"), Decision::Denied);
    assert_eq!(decide(&set, ALICE, Operation::Write, "abc"), Decision::Allowed);
    set.remove(&rules[1]);
    set.remove(&rules[1]);
    set.remove(&rules[2]);
    assert_eq!(decide(&set, ALICE, Operation::Write, "abc"), Decision::NoRule);
    assert_eq!(decide(&set, ALICE, Operation::Read, "t"), Decision::NoRule);
    assert!(set.is_empty() && set == AclSet::default());
}

#[test]
fn names_are_cut_between_characters_only() {
    let rules = set([allow("User:alice", Operation::Read, "a...")]);
    assert_eq!(decide(&rules, ALICE, Operation::Read, "ä"), Decision::NoRule);
    let rules =
        set([allow("User:alice", Operation::Read, "x..."), allow("User:alice", Operation::Read, "ä...")]);
    assert_eq!(decide(&rules, ALICE, Operation::Read, "äb"), Decision::Allowed);
}

#[test]
fn any_topic_will_do_unless_all_are_forbidden() {
    let any = |rules: &[Acl], subject| {
        set(rules.iter().cloned()).decide_any(subject, Operation::Write, ResourceType::Topic)
    };
    let mine = allow("User:alice", Operation::Write, "mine");
    assert_eq!(any(&[], ALICE), Decision::NoRule);
    assert_eq!(any(std::slice::from_ref(&mine), ALICE), Decision::Allowed);
    assert_eq!(any(std::slice::from_ref(&mine), BOB), Decision::NoRule);
    assert_eq!(any(&[mine.clone(), deny(EVERYBODY, Operation::Write, "*")], ALICE), Decision::Denied);
    assert_eq!(any(&[mine.clone(), deny(EVERYBODY, Operation::Write, "mi...")], ALICE), Decision::NoRule);
    assert_eq!(any(&[mine.clone(), deny(EVERYBODY, Operation::All, "mine")], ALICE), Decision::NoRule);
    assert_eq!(any(&[mine, deny(EVERYBODY, Operation::Read, "*")], ALICE), Decision::Allowed);
    let all = allow(EVERYBODY, Operation::Write, "*");
    assert_eq!(any(&[all, deny(EVERYBODY, Operation::Write, "a...")], ALICE), Decision::Allowed);
}

#[test]
fn filters_choose_rules() {
    let literal = allow("User:alice", Operation::Read, "orders");
    let prefixed = allow("User:bob", Operation::Read, "ord...");
    let wildcard = deny("User:bob", Operation::Write, "*");
    let all = AclFilter {
        resource_type: None,
        name: None,
        pattern: PatternFilter::Any,
        principal: None,
        host: None,
        operation: None,
        permission: None,
    };
    let found = |filter: &AclFilter| [&literal, &prefixed, &wildcard].map(|acl| filter.matches(acl));
    let named = |pattern| AclFilter { name: Some("orders".to_owned()), pattern, ..all.clone() };
    assert_eq!(found(&all), [true, true, true]);
    assert_eq!(found(&named(PatternFilter::Any)), [true, false, false]);
    assert_eq!(found(&named(PatternFilter::Match)), [true, true, true]);
    assert_eq!(found(&named(PatternFilter::Exactly(PatternType::Prefixed))), [false, false, false]);
    let bobs = AclFilter { principal: Some("User:bob".to_owned()), ..all.clone() };
    assert_eq!(found(&bobs), [false, true, true]);
    let groups = AclFilter { resource_type: Some(ResourceType::Group), ..all.clone() };
    assert_eq!(found(&groups), [false, false, false]);
    let denials = AclFilter { permission: Some(Permission::Deny), ..all };
    assert_eq!(found(&denials), [false, false, true]);
}

#[test]
fn defects_are_told() {
    let good = allow("User:alice", Operation::Read, "t");
    assert_eq!(good.defect(), None);
    let cluster = Acl { resource_type: ResourceType::Cluster, ..good.clone() };
    assert!(cluster.defect().is_some());
    for principal in ["alice", "User:", ":alice", ""] {
        assert!(Acl { principal: principal.to_owned(), ..good.clone() }.defect().is_some(), "{principal}");
    }
    assert!(Acl { name: String::new(), ..good.clone() }.defect().is_some());
    assert!(Acl { host: String::new(), ..good }.defect().is_some());
}
