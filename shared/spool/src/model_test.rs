//! What the spool promises, against random actions and against a crash at any moment.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    FileName, Incoming, Options, Reason, Spool, State, Stored, SubmissionId,
    disk::{Call, journal},
};

fn open(folder: &Path) -> Spool {
    let options = Options { spool_temp_age: Duration::ZERO, spool_min_free: 0, ..Options::at(folder) };
    Spool::open(&options).expect("a spool")
}

async fn receive(spool: &Spool, size: usize) -> Incoming {
    let mut incoming = spool.receive().expect("within the limits");
    for part in vec![b'x'; size].chunks(50_000) {
        incoming.write(Bytes::copy_from_slice(part)).await.expect("written");
    }
    incoming
}

async fn store(spool: &Spool, size: usize) -> Stored {
    receive(spool, size).await.commit().await.expect("stored")
}

fn reason() -> Reason {
    Reason {
        code: "schema_invalid".into(),
        reason: "it is".into(),
        errors: vec![],
        error_count: 1,
        attempts: 1,
        at: chrono::Utc::now(),
    }
}

/// Where each call is in the journal that satisfies a test; the last one of them.
fn last(calls: &[Call], is: impl Fn(&Call) -> bool) -> usize {
    calls.iter().rposition(is).unwrap_or_else(|| panic!("no such call in {calls:#?}"))
}

/// Whether a crash right after `calls` would leave the file under its name, with all its bytes.
fn assert_durable(calls: &[Call], root: &Path, id: &SubmissionId) {
    let name = root.join(id.file_name().as_str());
    let temporary = root.join(id.file_name().temporary());
    let written = last(calls, |call| *call == Call::Write(temporary.clone()));
    let renamed = last(calls, |call| *call == Call::Rename(temporary.clone(), name.clone()));
    let synced = calls[written..renamed].iter().any(|call| match call {
        Call::SyncFile(path) => *path == temporary,
        Call::SyncAll(path) => path == root,
        _ => false,
    });
    assert!(synced, "{id}: the bytes are not durable before the rename: {calls:#?}");
    let named = calls[renamed..].contains(&Call::SyncFolder(root.to_owned()));
    assert!(named, "{id}: the name is not durable before the answer: {calls:#?}");
}

/// Invariant 1: whatever the size, and alone or in a group, an answered submission survives a crash.
#[tokio::test(flavor = "multi_thread")]
async fn a_committed_submission_is_durable_before_the_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = open(folder.path());
    for size in [0, 1, 12_500, (128 << 10), (128 << 10) + 1, 1_000_000] {
        let stored = store(&spool, size).await;
        assert_eq!(stored.size_bytes, size as u64);
        assert_durable(&journal::below(folder.path()), folder.path(), &stored.id);
    }
    let many = (0..40).map(|number| {
        let (spool, root) = (spool.clone(), folder.path().to_owned());
        tokio::spawn(async move {
            let stored = store(&spool, if number % 10 == 0 { 300_000 } else { 12_500 }).await;
            assert_durable(&journal::below(&root), &root, &stored.id);
        })
    });
    for task in many.collect::<Vec<_>>() {
        task.await.expect("durable");
    }
    let calls = journal::below(folder.path());
    assert!(calls.iter().any(|call| matches!(call, Call::SyncAll(_))), "a group was committed together");
    assert_eq!(spool.usage().uploads, 0);
    assert_eq!(spool.usage().files, 46);
}

/// The reason is durable before the file is in `failed/`, and moves are durable when they return.
#[tokio::test]
async fn a_move_is_durable_and_the_reason_comes_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, spool) = (folder.path(), open(folder.path()));
    let (failed, archive) = (root.join("failed"), root.join("archive"));
    let refused = store(&spool, 10).await.id;
    let file = refused.file_name();
    spool.fail(&file, &reason()).await.expect("moved");
    let calls = journal::below(root);
    let temporary = failed.join(format!("{}.temp", file.reason()));
    let steps = [
        last(&calls, |call| *call == Call::Write(temporary.clone())),
        last(&calls, |call| *call == Call::SyncFile(temporary.clone())),
        last(&calls, |call| *call == Call::Rename(temporary.clone(), failed.join(file.reason()))),
        calls.iter().position(|call| *call == Call::SyncFolder(failed.clone())).expect("the reason's name is durable"),
        last(&calls, |call| *call == Call::Rename(root.join(file.as_str()), failed.join(file.as_str()))),
        last(&calls, |call| *call == Call::SyncFolder(failed.clone())),
        last(&calls, |call| *call == Call::SyncFolder(root.to_owned())),
    ];
    assert!(steps.is_sorted_by(|one, next| one < next), "{steps:?} of {calls:#?}");

    let good = store(&spool, 10).await.id.file_name();
    spool.archive(&good).await.expect("moved");
    let calls = journal::below(root);
    let moved = last(&calls, |call| *call == Call::Rename(root.join(good.as_str()), archive.join(good.as_str())));
    for place in [archive, root.to_owned()] {
        assert!(last(&calls, |call| *call == Call::SyncFolder(place.clone())) > moved);
    }
}

#[tokio::test]
async fn what_is_stored_are_the_bytes_and_their_digest() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = open(folder.path());
    let mut incoming = spool.receive().expect("within the limits");
    for part in ["{\"a\"", ":", "1}"] {
        incoming.write(Bytes::from_static(part.as_bytes())).await.expect("written");
    }
    let stored = incoming.commit().await.expect("stored");
    assert_eq!(std::fs::read(spool.path(&stored.id.file_name())).expect("the file"), br#"{"a":1}"#);
    assert_eq!(stored.sha256, "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862");
    let big = store(&spool, 700_001).await;
    let bytes = std::fs::read(spool.path(&big.id.file_name())).expect("the file");
    assert_eq!(bytes, vec![b'x'; 700_001]);
    let small = {
        let mut incoming = spool.receive().expect("within the limits");
        incoming.write(Bytes::from(vec![b'x'; 700_001])).await.expect("written");
        incoming.commit().await.expect("stored")
    };
    assert_eq!(small.sha256, big.sha256, "however the bytes came");
    let file = big.id.file_name();
    assert_eq!(spool.digest(&file).await.expect("readable"), Some(big.sha256));
    spool.archive(&file).await.expect("moved");
    assert_eq!(spool.digest(&file).await.expect("readable"), None);
}

#[tokio::test]
async fn a_reason_is_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = open(folder.path());
    let id = store(&spool, 10).await.id;
    assert_eq!(spool.reason(&id).await.expect("readable"), None);
    let reason = reason();
    spool.fail(&id.file_name(), &reason).await.expect("moved");
    assert_eq!(spool.reason(&id).await.expect("readable"), Some(reason));
}

#[tokio::test]
async fn a_disk_that_refuses_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = open(folder.path());
    let small = receive(&spool, 10).await;
    let big = receive(&spool, 500_000).await;
    std::fs::remove_dir_all(folder.path()).expect("removed");
    assert!(small.commit().await.is_err());
    assert!(big.commit().await.is_err());
}

#[tokio::test]
async fn the_oldest_come_first_and_only_files_that_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = open(folder.path());
    for name in ["b.json", "logspec_0.json.json", "x.json.temp", "x.txt"] {
        std::fs::write(folder.path().join(name), "{}").expect("written");
    }
    std::fs::create_dir(folder.path().join("folder.json")).expect("made");
    let past = std::time::SystemTime::now() - Duration::from_hours(1);
    let old = std::fs::File::options().append(true).open(folder.path().join("logspec_0.json.json")).expect("open");
    old.set_modified(past).expect("set");
    let names = |files: Vec<FileName>| files.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(spool.ready(Duration::ZERO).await.expect("a list")), ["logspec_0.json.json", "b.json"]);
    assert_eq!(names(spool.ready(Duration::from_mins(1)).await.expect("a list")), ["logspec_0.json.json"]);
    let all = spool.waiting(None, Duration::ZERO).await.expect("a list");
    let rest = spool.waiting(Some(all[0].clone()), Duration::ZERO).await.expect("a list");
    assert_eq!(rest, all[1..]);
    spool.count().await.expect("counted");
    spool.measure_space().await.expect("measured");
    let usage = spool.usage();
    assert_eq!((usage.files, usage.bytes), (2, 4));
    assert!(usage.oldest >= Duration::from_secs(3590) && usage.free_bytes < u64::MAX);
}

/// The places of every submission that was ever accepted, against what the spool says.
struct Model {
    root: PathBuf,
    expected: BTreeMap<SubmissionId, State>,
}

impl Model {
    fn any(&self, random: &mut StdRng, state: State) -> Option<SubmissionId> {
        let of: Vec<_> = self.expected.iter().filter(|(_, known)| **known == state).map(|(id, _)| id.clone()).collect();
        (!of.is_empty()).then(|| of[random.random_range(0..of.len())].clone())
    }

    async fn check(&self, spool: &Spool) {
        for (id, state) in &self.expected {
            assert_eq!(spool.state(id).await.expect("readable"), *state, "{id}");
            let name = id.file_name();
            let places = ["", "archive", "failed"].map(|place| self.root.join(place).join(name.as_str()));
            assert_eq!(places.iter().filter(|path| path.exists()).count(), 1, "{id} is in one place");
        }
    }
}

/// Accepted means never lost and never in two states, whatever happens in whatever order.
#[tokio::test]
async fn random_actions_lose_and_double_nothing() {
    for seed in 0..8 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut random = StdRng::seed_from_u64(seed);
        let mut spool = open(folder.path());
        let mut model = Model { root: folder.path().to_owned(), expected: BTreeMap::new() };
        let mut live: Vec<Incoming> = Vec::new();
        for _ in 0..60 {
            act(&mut spool, &mut model, &mut live, &mut random).await;
            model.check(&spool).await;
        }
        for incoming in live {
            model.expected.insert(incoming.commit().await.expect("a live upload survives sweeps").id, State::Ready);
        }
        spool.sweep_temporary().await.expect("swept");
        model.check(&spool).await;
        let names = std::fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("listed").file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with(".temp")).collect();
        assert!(left.is_empty(), "{left:?}");
        let waiting = model.expected.values().filter(|state| **state == State::Ready).count();
        assert_eq!(spool.ready(Duration::ZERO).await.expect("a list").len(), waiting);
    }
}

async fn act(spool: &mut Spool, model: &mut Model, live: &mut Vec<Incoming>, random: &mut StdRng) {
    let size = if random.random_bool(0.2) { 300_000 } else { 100 };
    match random.random_range(0..9) {
        0 | 1 => drop(model.expected.insert(store(spool, size).await.id, State::Ready)),
        2 => live.push(receive(spool, 300_000).await),
        3 => drop(receive(spool, size).await),
        4 => {
            // A gateway that was killed: its file is there, its lock is not.
            let id = SubmissionId::random();
            std::fs::write(model.root.join(id.file_name().temporary()), "{\"cut").expect("written");
            *spool = open(&model.root);
        }
        5 => drop(spool.sweep_temporary().await.expect("swept")),
        6 => {
            let Some(id) = model.any(random, State::Ready) else { return };
            spool.archive(&id.file_name()).await.expect("archived");
            model.expected.insert(id, State::Archived);
        }
        7 => {
            let Some(id) = model.any(random, State::Ready) else { return };
            spool.fail(&id.file_name(), &reason()).await.expect("refused");
            model.expected.insert(id, State::Failed);
        }
        _ => {
            // A crash after the move and before the message was acknowledged repeats the move.
            let Some(id) = model.any(random, State::Archived) else { return };
            spool.archive(&id.file_name()).await.expect("archived again");
        }
    }
}
