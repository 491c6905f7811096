//! Loads objects into the tables, many rows a statement (spec: database.md 7 and 8).
//!
//! - The result is that of loading the documents one after the other, each object by itself in the order of ids. Rows of
//!   one key are merged here first, because a statement may touch a row only once.
//! - Every load goes through the tables in one order, and through a table in the order of its keys: two loads on the same
//!   rows cannot deadlock.

use std::collections::BTreeMap;

use diesel_async::{AsyncPgConnection, RunQueryDsl as _};
use schema::{Checkout, Objects};

use crate::{
    Error,
    bulk::{Bulk, Column, Value},
    tables::{self, Table},
};

/// Rows of one statement: more brings nothing, and huge arrays cost.
const ROWS: usize = 1000;
/// Bytes of one statement, as far as rows allow.
const BYTES: usize = 4 << 20;

/// Loads documents, given in their order, in the caller's transaction. What [`crate::unstorable()`] finds must have been
/// refused before.
///
/// # Errors
/// See [`Error`]: whether to wait, to try again, or to blame the documents. The transaction must then be rolled back.
pub async fn load(connection: &mut AsyncPgConnection, documents: &[Objects<'_>]) -> Result<(), Error> {
    let issues = sorted(documents, |objects| &objects.issues, |issue| &issue.id);
    let checkouts = sorted(documents, |objects| &objects.checkouts, |checkout| &checkout.id);
    let builds = sorted(documents, |objects| &objects.builds, |build| &build.id);
    let tests = sorted(documents, |objects| &objects.tests, |test| &test.id);
    let incidents = sorted(documents, |objects| &objects.incidents, |incident| &incident.id);

    merge(connection, &tables::ISSUES, issues.iter().map(|issue| tables::issue(issue))).await?;
    merge(connection, &tables::CHECKOUTS, checkouts.iter().map(|checkout| tables::checkout(checkout))).await?;
    merge(connection, &tables::BUILDS, builds.iter().map(|build| tables::build(build))).await?;
    merge(connection, &tables::TESTS, tests.iter().map(|test| tables::test(test))).await?;
    merge(connection, &tables::INCIDENTS, incidents.iter().map(|incident| tables::incident(incident))).await?;

    let (latest, listing) = newest(documents);
    insert(connection, &tables::LATEST_CHECKOUT, latest).await?;
    insert(connection, &tables::TREE_LISTING, listing).await?;
    for tests in tests.chunks(ROWS) {
        let taken: Vec<_> = tests.iter().map(|test| tables::taken(test)).collect();
        let rows = tests.iter().zip(&taken).map(|(test, taken)| tables::pending_test(test, taken));
        merge(connection, &tables::PENDING_TEST, rows).await?;
    }
    merge(connection, &tables::PENDING_BUILDS, builds.iter().map(|build| tables::pending_build(build))).await
}

/// The objects of all documents in the order of ids; those of one id in the order of documents, and as sent within one.
fn sorted<'o, 'd, T>(
    documents: &'o [Objects<'d>],
    list: impl Fn(&'o Objects<'d>) -> &'o Vec<T>,
    id: impl Fn(&T) -> &str,
) -> Vec<&'o T> {
    let mut objects: Vec<&T> = documents.iter().flat_map(list).collect();
    objects.sort_by(|a, b| id(a).cmp(id(b)));
    objects
}

/// Writes rows that come in the order of their keys; neighbours with the same key become one: for each column the first
/// value that is not NULL.
async fn merge<'r, const N: usize>(
    connection: &mut AsyncPgConnection,
    table: &Table<N>,
    rows: impl Iterator<Item = [Value<'r>; N]>,
) -> Result<(), Error> {
    let mut merged: Vec<[Value<'r>; N]> = Vec::with_capacity(rows.size_hint().0);
    for row in rows {
        match merged.last_mut() {
            Some(last) if last[0] == row[0] => {
                for (kept, new) in last.iter_mut().zip(row) {
                    if *kept == Value::Null {
                        *kept = new;
                    }
                }
            }
            _ => merged.push(row),
        }
    }
    insert(connection, table, merged).await
}

/// Writes rows of different keys, in the order of the keys.
async fn insert<const N: usize>(
    connection: &mut AsyncPgConnection,
    table: &Table<N>,
    rows: impl IntoIterator<Item = [Value<'_>; N]>,
) -> Result<(), Error> {
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let mut columns = table.columns.map(|column| Column::new(column.kind));
        let mut count = 0;
        while count < ROWS && (count == 0 || columns.iter().map(Column::size).sum::<usize>() < BYTES) {
            let Some(row) = rows.next() else { break };
            for ((column, value), about) in columns.iter_mut().zip(row).zip(&table.columns) {
                if let Value::Misfit(text) = value {
                    let message = format!("{}.{} cannot hold {text:?}", table.name, about.name);
                    return Err(Error::Data { message, source: None });
                }
                column.push(value);
            }
            count += 1;
        }
        let (head, tail) = table.statement();
        Bulk { head, columns: &columns, tail }.execute(connection).await?;
    }
    Ok(())
}

/// A part of a key that may be absent; absent comes last, as where the other writers of these tables sort.
type Part<'r> = (bool, Option<&'r str>);
/// Origin, tree, repository and branch.
type Tree<'r> = (&'r str, [Part<'r>; 3]);

/// The newest checkout of each tree, and of each commit of a tree: rows of `latest_checkout` and of `tree_listing`. Of
/// several with the same time the first counts. Checkouts without a time are left out.
fn newest<'o>(documents: &'o [Objects<'_>]) -> (Vec<[Value<'o>; 6]>, Vec<[Value<'o>; 9]>) {
    let mut trees: BTreeMap<Tree<'o>, (i64, &Checkout<'_>)> = BTreeMap::new();
    let mut commits: BTreeMap<(Tree<'o>, Part<'o>), (i64, &Checkout<'_>)> = BTreeMap::new();
    for document in documents {
        for checkout in sorted(std::slice::from_ref(document), |objects| &objects.checkouts, |checkout| &checkout.id) {
            let Value::Time(time) = tables::time(checkout.start_time.as_ref()) else { continue };
            let part = |text: &'o Option<_>| -> Part<'o> {
                let text: Option<&std::borrow::Cow<'_, str>> = text.as_ref();
                (text.is_none(), text.map(AsRef::as_ref))
            };
            let tree = (
                checkout.origin.as_ref(),
                [part(&checkout.tree_name), part(&checkout.git_repository_url), part(&checkout.git_repository_branch)],
            );
            keep_newer(&mut trees, tree, time, checkout);
            keep_newer(&mut commits, (tree, part(&checkout.git_commit_hash)), time, checkout);
        }
    }
    let key = |checkout: &'o Checkout<'_>| {
        [
            Value::Text(&checkout.origin),
            tables::text(checkout.tree_name.as_ref()),
            tables::text(checkout.git_repository_url.as_ref()),
            tables::text(checkout.git_repository_branch.as_ref()),
        ]
    };
    let latest = trees.into_values().map(|(time, checkout)| {
        let [origin, tree, url, branch] = key(checkout);
        [origin, tree, url, branch, Value::Text(&checkout.id), Value::Time(time)]
    });
    let listing = commits.into_values().map(|(time, checkout)| {
        let [origin, tree, url, branch] = key(checkout);
        let hash = tables::text(checkout.git_commit_hash.as_ref());
        let name = tables::text(checkout.git_commit_name.as_ref());
        let tags = tables::texts(checkout.git_commit_tags.as_ref());
        [origin, tree, url, branch, hash, name, tags, Value::Text(&checkout.id), Value::Time(time)]
    });
    (latest.collect(), listing.collect())
}

fn keep_newer<'o, K: Ord>(
    rows: &mut BTreeMap<K, (i64, &'o Checkout<'o>)>,
    key: K,
    time: i64,
    checkout: &'o Checkout<'_>,
) {
    rows.entry(key)
        .and_modify(|row| {
            if row.0 < time {
                *row = (time, checkout);
            }
        })
        .or_insert((time, checkout));
}
