//! `kcidb db`: prepares the database and checks it.

use std::process::ExitCode;

/// Prepares the database and checks it.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Makes what is missing: tables, keys, indexes, functions, rights. Also takes over a database that the dashboard or
    /// the kcidb tools made; what is in it stays. Safe to run again, and by several at once.
    Migrate {
        #[command(flatten)]
        database: ::db::Options,
    },
    /// Says what is missing or wrong, and how to mend it. Changes nothing; fails when loading cannot work.
    Check {
        #[command(flatten)]
        database: ::db::Options,
    },
    /// Prints where the database is as a URL that PostgreSQL's own programs read, the password included.
    Url {
        #[command(flatten)]
        database: ::db::Options,
    },
}

/// Runs one of them.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args {
        Args::Migrate { database } => {
            for line in ::db::migrate(&database).await? {
                println!("{line}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Args::Check { database } => check(&database).await,
        Args::Url { database } => {
            println!("{}", database.url()?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn check(database: &::db::Options) -> anyhow::Result<ExitCode> {
    let pool = ::db::Pool::new(database)?;
    let findings = ::db::check(&mut *pool.get().await?).await?;
    for finding in &findings {
        let weight = if finding.blocks_loading { "wrong" } else { "advice" };
        println!("{weight}: {}\n    remedy: {}", finding.what, finding.remedy);
    }
    if findings.iter().any(|finding| finding.blocks_loading) {
        return Ok(ExitCode::FAILURE);
    }
    println!("{}: {}", pool.address(), if findings.is_empty() { "all is well" } else { "loading works" });
    Ok(ExitCode::SUCCESS)
}
