//! `kcidb queue`: prepares the broker and checks it, shows the queues, and deals with dead letters.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use events::{DeadLetter, DeadLetters, topology::Queue};
use serde_json::json;

use crate::{
    broker::{Broker, Management},
    users::{self, Passwords},
};

/// Prepares the broker and checks it, shows the queues, and deals with dead letters.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Makes virtual host, policies, exchanges and queues, and users whose passwords are given. Safe to run again; what others
    /// made stays.
    Setup {
        #[command(flatten)]
        management: Management,
        #[command(flatten)]
        users: Passwords,
    },
    /// Says what is missing or different, and how to mend it. Changes nothing; fails when something is wrong.
    ///
    /// Looks at those users whose passwords are given.
    Check {
        #[command(flatten)]
        management: Management,
        #[command(flatten)]
        users: Passwords,
    },
    /// Shows how many messages wait in each queue, and how many consumers it has.
    List {
        #[command(flatten)]
        broker: events::Options,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Shows dead letters: id, type, reason and error; they stay where they are.
    Peek {
        #[command(flatten)]
        dead: Dead,
        /// Print one JSON object a line, with the event itself.
        #[arg(long)]
        json: bool,
    },
    /// Sends dead letters back to their queue, to be tried as if for the first time; ids and traces stay.
    Redrive {
        #[command(flatten)]
        dead: Dead,
        /// So many a second.
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Removes dead letters for good. Asks first. A dead `submission.received` loses nothing: its file waits in the spool.
    Drop {
        #[command(flatten)]
        dead: Dead,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Which dead letters.
#[derive(Debug, clap::Args)]
pub(crate) struct Dead {
    #[command(flatten)]
    broker: events::Options,
    /// The queue that gave them up, such as `ingester.submissions`.
    #[arg(value_name = "QUEUE", value_parser = queue)]
    queue: Queue,
    /// Only the one with this event id.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Only those with this reason, such as `worker_panicked`.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

fn queue(name: &str) -> Result<Queue, String> {
    let names = || events::topology::QUEUES.map(|queue| queue.name).join(", ");
    Queue::named(name).ok_or_else(|| format!("there is no such queue; the queues are {}", names()))
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args {
        Args::Setup { management, users } => setup(&management, &users).await,
        Args::Check { management, users } => check(&management, &users).await,
        Args::List { broker, json } => list(&broker, json).await,
        Args::Peek { dead, json } => peek(&dead, json).await,
        Args::Redrive { dead, rate, dry_run } => redrive(&dead, rate, dry_run).await,
        Args::Drop { dead, yes } => drop_letters(&dead, yes).await,
    }
}

async fn setup(management: &Management, users: &Passwords) -> anyhow::Result<ExitCode> {
    let broker = Broker::new(management)?;
    for line in broker.apply(&stack::definitions()).await? {
        println!("{line}");
    }
    for line in users::apply(&broker, users).await? {
        println!("{line}");
    }
    events::declare(&management.broker).await?;
    println!("exchanges, queues and bindings are there");
    Ok(ExitCode::SUCCESS)
}

async fn check(management: &Management, users: &Passwords) -> anyhow::Result<ExitCode> {
    let broker = Broker::new(management)?;
    let mut faults = broker.compare(&stack::definitions()).await?;
    faults.extend(users::compare(&broker, users).await?);
    for fault in &faults {
        println!("wrong: {fault}");
    }
    if !faults.is_empty() {
        println!("    remedy: kcidb queue setup");
        return Ok(ExitCode::FAILURE);
    }
    println!("{}: all is well", management.broker.address());
    Ok(ExitCode::SUCCESS)
}

async fn list(broker: &events::Options, json: bool) -> anyhow::Result<ExitCode> {
    for depth in events::depths(broker).await? {
        let events::Depth { name, messages, consumers } = depth;
        if json {
            println!("{}", json!({"queue": name, "messages": messages, "consumers": consumers}));
        } else {
            println!("{name:<36} {messages:>9} waiting {consumers:>3} consumers");
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Dead {
    fn wants(&self, letter: &DeadLetter) -> bool {
        self.id.as_ref().is_none_or(|id| letter.id() == id)
            && self.reason.as_ref().is_none_or(|reason| letter.reason() == *reason)
    }

    /// Goes through the letters once, and does something with those that are wanted; how many there were.
    async fn each(
        &self,
        mut act: impl AsyncFnMut(&DeadLetters, DeadLetter) -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let letters = DeadLetters::open(&self.broker, self.queue).await?;
        let mut count = 0;
        let result = async {
            for _ in 0..letters.count() {
                if self.limit.is_some_and(|limit| count >= limit) {
                    break;
                }
                let Some(letter) = letters.next().await? else { break };
                if self.wants(&letter) {
                    act(&letters, letter).await?;
                    count += 1;
                }
            }
            Ok(count)
        };
        let result = result.await;
        letters.close().await?;
        result
    }
}

async fn peek(dead: &Dead, json: bool) -> anyhow::Result<ExitCode> {
    let count = dead
        .each(async |_, letter| {
            print(&letter, json);
            Ok(())
        })
        .await?;
    eprintln!("{count} dead letters");
    Ok(ExitCode::SUCCESS)
}

fn print(letter: &DeadLetter, json: bool) {
    if json {
        let body =
            serde_json::from_slice(letter.body()).unwrap_or_else(|_| json!(String::from_utf8_lossy(letter.body())));
        println!(
            "{}",
            json!({"id": letter.id(), "type": letter.event_type(), "reason": letter.reason(), "error": letter.error(),
                   "attempt": letter.attempt(), "first_seen": letter.first_seen(), "body": body})
        );
    } else {
        println!(
            "{}  {}  {} after {} tries: {}",
            letter.id(),
            letter.event_type(),
            letter.reason(),
            letter.attempt(),
            letter.error()
        );
    }
}

async fn redrive(dead: &Dead, rate: u32, dry_run: bool) -> anyhow::Result<ExitCode> {
    let count = dead
        .each(async |letters, letter| {
            print(&letter, false);
            if !dry_run {
                letters.redrive(letter).await?;
                tokio::time::sleep(Duration::from_secs(1) / rate).await;
            }
            Ok(())
        })
        .await?;
    eprintln!("{count} dead letters {} {}", if dry_run { "would go back to" } else { "went back to" }, dead.queue.name);
    Ok(ExitCode::SUCCESS)
}

async fn drop_letters(dead: &Dead, yes: bool) -> anyhow::Result<ExitCode> {
    if !yes {
        let count = dead
            .each(async |_, letter| {
                print(&letter, false);
                Ok(())
            })
            .await?;
        if count == 0 {
            eprintln!("there are none");
            return Ok(ExitCode::SUCCESS);
        }
        if !confirmed(&format!("remove these {count} dead letters for good?"))? {
            bail!("nothing was removed");
        }
    }
    let count = dead.each(async |letters, letter| Ok(letters.remove(letter).await?)).await?;
    eprintln!("{count} dead letters removed");
    Ok(ExitCode::SUCCESS)
}

/// Asks on the terminal; without one the answer must come as an option.
fn confirmed(question: &str) -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!("{question} Say so with --yes");
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).context("no answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
