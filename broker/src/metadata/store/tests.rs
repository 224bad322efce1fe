use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::env::storage::system::SystemStorage;

fn open(dir: &Path) -> Result<MetadataStore> {
    MetadataStore::open(Arc::new(SystemStorage), dir, Uuid::from_u128(7))
}

fn create(store: &MetadataStore, name: &str, partitions: i32) {
    let record = MetadataRecord::TopicCreated {
        name: name.to_owned(),
        id: Uuid::from_u128(u128::from(name.as_bytes()[0])),
        partitions,
        configs: BTreeMap::from([("retention.ms".to_owned(), "5".to_owned())]),
    };
    store.update(|_| Ok((vec![record], ()))).expect("created");
}

#[test]
fn changes_survive_reopening() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = open(dir.path()).expect("opens");
    create(&store, "a", 3);
    create(&store, "b", 1);
    let id = store.image().topic("a").expect("exists").id;
    store
        .update(|_| {
            let delete = MetadataRecord::TopicDeleting { name: "b".into(), id: Uuid::from_u128(98) };
            let grow = MetadataRecord::PartitionsAdded { name: "a".into(), partitions: 5 };
            Ok((vec![delete, grow, MetadataRecord::ProducerIds { next: 1000 }], ()))
        })
        .expect("changed");
    let before = store.image();
    drop(store);
    let after = open(dir.path()).expect("opens again").image();
    assert_eq!(*before, *after);
    assert_eq!(after.topic_by_id(id).expect("by id").partitions, 5);
    assert_eq!(after.deleting().count(), 1);
    let mut rebuilt = MetadataImage::default();
    for record in after.records() {
        rebuilt.apply(&record).expect("applies");
    }
    assert_eq!(rebuilt, *after, "a rewrite keeps everything");
}

#[test]
fn a_torn_last_frame_is_cut_and_other_damage_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = open(dir.path()).expect("opens");
    create(&store, "a", 1);
    let one = store.image();
    create(&store, "b", 1);
    drop(store);
    let path = dir.path().join("metadata.log");
    let storage = SystemStorage;
    let whole = storage.read(&path).expect("reads");
    let first_end = {
        let mut image = MetadataImage::default();
        let cut = &whole[..whole.len() - 1];
        load(&path, cut, &mut image).expect("the tail is torn").0
    };
    for length in first_end..whole.len() {
        let file = storage.open(&path, OpenMode::Create).expect("creates");
        file.write_all_at(&whole[..length], 0).expect("writes");
        assert_eq!(*open(dir.path()).expect("opens").image(), *one, "cut to {length}");
    }
    let mut damaged = whole.clone();
    damaged[20] ^= 1;
    let file = storage.open(&path, OpenMode::Create).expect("creates");
    file.write_all_at(&damaged, 0).expect("writes");
    assert!(matches!(open(dir.path()), Err(Error::CorruptFile { .. })));
}

#[test]
fn users_rules_and_quotas_survive_reopening() {
    use crate::auth::acl::{Acl, Operation, PatternType, Permission, ResourceType};
    use crate::auth::quota::{EntityName, QuotaEntity, QuotaKey};
    use crate::auth::scram::{ScramCredential, ScramMechanism};
    use crate::metadata::record::StoredCredential;

    let dir = tempfile::tempdir().expect("temporary directory");
    let store = open(dir.path()).expect("opens");
    let credential = |mechanism| ScramCredential::derive(mechanism, "secret", vec![1, 2, 255], 4096);
    let acl = |name: &str| Acl {
        resource_type: ResourceType::TransactionalId,
        pattern_type: PatternType::Prefixed,
        name: name.to_owned(),
        principal: "User:alice".to_owned(),
        host: "*".to_owned(),
        operation: Operation::Write,
        permission: Permission::Deny,
    };
    let entity = QuotaEntity {
        user: Some(EntityName::Name("alice".to_owned())),
        client_id: Some(EntityName::Default),
    };
    let set = |mechanism| MetadataRecord::CredentialSet {
        user: "alice".to_owned(),
        credential: StoredCredential::from(&credential(mechanism)),
    };
    let quota = |key, value| MetadataRecord::QuotaSet { entity: entity.clone(), key, value };
    let records = vec![
        set(ScramMechanism::Sha256),
        set(ScramMechanism::Sha512),
        MetadataRecord::CredentialRemoved { user: "alice".into(), mechanism: ScramMechanism::Sha512 },
        MetadataRecord::AclAdded { acl: acl("a") },
        MetadataRecord::AclAdded { acl: acl("b") },
        MetadataRecord::AclRemoved { acl: acl("a") },
        quota(QuotaKey::ProducerByteRate, Some(1024.5)),
        quota(QuotaKey::RequestPercentage, Some(0.1)),
        quota(QuotaKey::ConsumerByteRate, Some(1.0)),
        quota(QuotaKey::ConsumerByteRate, None),
    ];
    store.update(|_| Ok((records, ()))).expect("changed");
    let before = store.image();
    drop(store);
    let after = open(dir.path()).expect("opens again").image();
    assert_eq!(*before, *after);
    let security = after.security();
    let kept = security.credential("alice", ScramMechanism::Sha256).expect("kept");
    assert!(kept.verifies("secret") && !kept.verifies("Secret"));
    assert_eq!(security.credential("alice", ScramMechanism::Sha512), None);
    assert!(security.acls.contains(&acl("b")) && !security.acls.contains(&acl("a")));
    let (value, _) = security.quotas.resolve(QuotaKey::RequestPercentage, "alice", "x").expect("holds");
    assert_eq!(value, 0.1);
    let mut rebuilt = MetadataImage::default();
    for record in after.records() {
        rebuilt.apply(&record).expect("applies");
    }
    assert_eq!(rebuilt, *after, "a rewrite keeps everything");
    assert_eq!(rebuilt.security().quotas.iter().count(), 1);
}

/// Runs in a process of its own, because the umask is the whole process's.
#[test]
fn nobody_else_may_read_the_log_whatever_the_umask() {
    const DIR: &str = "WEIR_TEST_PRIVATE_DIR";
    if let Some(dir) = std::env::var_os(DIR) {
        let store = open(Path::new(&dir)).expect("opens");
        create(&store, "a", 1);
        return;
    }
    let mode = |path: &Path| {
        let metadata = std::fs::metadata(path).expect("exists");
        std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777
    };
    for umask in ["000", "022", "077"] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let test = "metadata::store::tests::nobody_else_may_read_the_log_whatever_the_umask";
        let run = || {
            let ended = std::process::Command::new("sh")
                .args(["-c", "umask \"$1\"; shift; exec \"$@\"", "sh", umask])
                .arg(std::env::current_exe().expect("this test"))
                .args([test, "--exact"])
                .env(DIR, dir.path())
                .output();
            let ended = ended.expect("a shell runs");
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
        };
        run();
        let path = dir.path().join("metadata.log");
        assert_eq!(mode(&path), 0o600, "umask {umask}");
        // One that was made by an earlier version, or copied.
        let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&path, open_to_all).expect("changes");
        run();
        assert_eq!(mode(&path), 0o600, "umask {umask}, opened again");
    }
}

#[test]
fn changes_are_counted_over_rewrites_and_starts() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = open(dir.path()).expect("opens");
    let mut last = store.end_offset();
    assert!(last > 0);
    create(&store, "a", 1);
    assert_eq!(store.end_offset(), last + 1);
    // Long enough for several rewrites.
    let value = "x".repeat(1 << 20);
    for number in 0..20 {
        let name = if number % 2 == 0 { "even" } else { "odd" };
        let configs = BTreeMap::from([("metrics".to_owned(), value.clone())]);
        let change = MetadataRecord::ClientMetricsChanged { name: name.to_owned(), configs };
        last = store.end_offset();
        store.update(|_| Ok((vec![change], ()))).expect("changed");
        assert_eq!(store.end_offset(), last + 1, "{number}");
    }
    last = store.end_offset();
    let size = std::fs::metadata(dir.path().join("metadata.log")).expect("exists").len();
    assert!(size < 15 << 20, "{size} bytes: it was rewritten");
    drop(store);
    assert_eq!(open(dir.path()).expect("opens again").end_offset(), last);
}
