//! A database of its own for each test.

use db::Options;
use tokio_postgres::{Client, NoTls};

/// A database, and a connection for looking into it.
pub(crate) struct Database {
    pub(crate) options: Options,
    pub(crate) client: Client,
}

impl Database {
    async fn at(url: String) -> Self {
        Self { client: connect(&url).await, options: Options::of(&url) }
    }

    pub(crate) fn url(&self) -> &str {
        self.options.database_url.as_deref().unwrap()
    }
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A fresh, empty database.
pub(crate) async fn empty() -> Database {
    let servers = stack::shared().await.unwrap();
    Database::at(servers.fresh_database().await.unwrap()).await
}

/// A fresh database with all migrations.
pub(crate) async fn migrated() -> Database {
    let servers = stack::shared().await.unwrap();
    let migrate =
        |url: String| async move { db::migrate(&Options::of(&url)).await.map(drop).map_err(|error| error.to_string()) };
    let key = format!("kcidb_db_{}", std::process::id());
    Database::at(servers.fresh_database_like(&key, migrate).await.unwrap()).await
}
