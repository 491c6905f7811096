//! How to reach the two servers, and fresh places in them.

use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Config, NoTls, error::SqlState};

use crate::{Error, folder::secret, management::Management};

/// The user of both servers, the database and the virtual host.
pub(crate) const NAME: &str = "kcidb";

/// The ports of a folder's servers.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ports {
    pub(crate) postgres: u16,
    pub(crate) amqp: u16,
    pub(crate) management: u16,
    pub(crate) prometheus: u16,
    pub(crate) distribution: u16,
    pub(crate) epmd: u16,
}

/// How to reach the two servers of a folder; all of it is on the loopback address.
#[derive(Clone, Serialize, Deserialize)]
pub struct Servers {
    pub(crate) ports: Ports,
    pub(crate) password: String,
}

/// An address for a browser, and who to be there.
#[derive(Debug, Clone, Serialize)]
pub struct Login {
    /// The address.
    pub url: String,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: String,
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Servers").field("ports", &self.ports).finish_non_exhaustive()
    }
}

impl Servers {
    pub(crate) fn new(ports: Ports, password: String) -> Self {
        Self { ports, password }
    }

    /// The address of the database `kcidb`; its user may do everything in this server.
    pub fn database_url(&self) -> String {
        self.database_url_of(NAME)
    }

    /// The address of a database.
    pub fn database_url_of(&self, database: &str) -> String {
        format!("postgresql://{NAME}:{}@127.0.0.1:{}/{database}", self.password, self.ports.postgres)
    }

    /// The address of the virtual host `kcidb`; its user may do everything in this broker.
    pub fn amqp_url(&self) -> String {
        self.amqp_url_of(NAME)
    }

    /// The address of a virtual host.
    pub fn amqp_url_of(&self, vhost: &str) -> String {
        format!("amqp://{NAME}:{}@127.0.0.1:{}/{vhost}", self.password, self.ports.amqp)
    }

    /// The web pages of RabbitMQ and, under `/api`, its management API.
    pub fn rabbitmq_ui(&self) -> Login {
        let url = format!("http://127.0.0.1:{}/", self.ports.management);
        Login { url, user: NAME.into(), password: self.password.clone() }
    }

    /// The metrics of RabbitMQ for Prometheus.
    pub fn rabbitmq_metrics(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.ports.prometheus)
    }

    /// Makes an empty database; its address.
    ///
    /// # Errors
    /// When PostgreSQL refuses.
    pub async fn fresh_database(&self) -> Result<String, Error> {
        self.copy_of("template0").await
    }

    /// Makes a copy of a database that is prepared once: `prepare` gets the address of an empty database the first time
    /// that `key` is used in this server. The key should change with what `prepare` does.
    ///
    /// # Errors
    /// When PostgreSQL refuses; with the error of `prepare` in words when that fails.
    pub async fn fresh_database_like<F>(&self, key: &str, prepare: impl FnOnce(String) -> F) -> Result<String, Error>
    where
        F: Future<Output = Result<(), String>>,
    {
        let template = format!("like_{}", key.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        let admin = self.connect("postgres").await?;
        // Several test processes may ask for the same template at once: one makes it, the others wait. The lock goes
        // with the connection.
        admin.execute("SELECT pg_advisory_lock(hashtext($1))", &[&template]).await?;
        if admin.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&template]).await?.is_none() {
            let draft = format!("{template}_draft");
            admin.batch_execute(&format!("DROP DATABASE IF EXISTS \"{draft}\" WITH (FORCE)")).await?;
            admin.batch_execute(&format!("CREATE DATABASE \"{draft}\" TEMPLATE template0")).await?;
            prepare(self.database_url_of(&draft)).await.map_err(Error::Prepare)?;
            // A database can be renamed and copied when nobody is connected; who prepared it may not be quite gone.
            admin
                .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", &[&draft])
                .await?;
            retry_while_in_use(&admin, &format!("ALTER DATABASE \"{draft}\" RENAME TO \"{template}\"")).await?;
        }
        self.copy_of(&template).await
    }

    async fn copy_of(&self, template: &str) -> Result<String, Error> {
        let name = fresh_name();
        let admin = self.connect("postgres").await?;
        retry_while_in_use(&admin, &format!("CREATE DATABASE \"{name}\" TEMPLATE \"{template}\"")).await?;
        Ok(self.database_url_of(&name))
    }

    /// Removes a database, whoever is connected.
    ///
    /// # Errors
    /// When PostgreSQL refuses.
    pub async fn drop_database(&self, url: &str) -> Result<(), Error> {
        let admin = self.connect("postgres").await?;
        Ok(admin.batch_execute(&format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", last_part(url))).await?)
    }

    /// Makes an empty virtual host with the policies of [`definitions`](crate::definitions); its address.
    ///
    /// # Errors
    /// When the management API refuses.
    pub async fn fresh_vhost(&self) -> Result<String, Error> {
        let name = fresh_name();
        Management::new(self)?.make_vhost(&name).await?;
        Ok(self.amqp_url_of(&name))
    }

    /// Removes a virtual host with all its queues.
    ///
    /// # Errors
    /// When the management API refuses.
    pub async fn drop_vhost(&self, url: &str) -> Result<(), Error> {
        Management::new(self)?.drop_vhost(last_part(url)).await
    }

    /// Breaks every connection of the broker's clients, as a restart of a proxy in between would.
    ///
    /// # Errors
    /// When the management API refuses.
    pub async fn close_connections(&self) -> Result<(), Error> {
        Management::new(self)?.close_connections().await
    }

    /// A connection for administration.
    pub(crate) async fn connect(&self, database: &str) -> Result<Client, Error> {
        let (client, connection) = self.config(database).connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(self.ports.postgres)
            .user(NAME)
            .password(&self.password)
            .dbname(database)
            .connect_timeout(std::time::Duration::from_secs(5));
        config
    }
}

/// A statement that PostgreSQL refuses while somebody is connected to a database, for instance somebody about to leave.
async fn retry_while_in_use(admin: &Client, statement: &str) -> Result<(), Error> {
    for _ in 0..50 {
        match admin.batch_execute(statement).await {
            Err(error) if error.code() == Some(&SqlState::OBJECT_IN_USE) => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            result => return Ok(result?),
        }
    }
    Ok(admin.batch_execute(statement).await?)
}

/// Unique among all processes that use the same servers.
fn fresh_name() -> String {
    format!("fresh_{}", &secret()[..16])
}

/// The database or virtual host of an address.
fn last_part(url: &str) -> &str {
    url.rsplit('/').next().expect("a split has at least one part")
}
