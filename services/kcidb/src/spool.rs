//! `kcidb spool`: looks at the files of the spool, puts them back, removes old ones.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use ::spool::{Entry, FileName, Options, Place, Spool, SubmissionId};
use anyhow::{Context as _, bail};
use chrono::{DateTime, NaiveDate, Utc};
use clap::ValueEnum;
use serde_json::json;

/// Looks at the files of the spool, puts them back, removes old ones.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Lists files: name, bytes, age, and of refused ones the reason.
    List {
        #[command(flatten)]
        spool: Directory,
        /// Which files.
        #[arg(long, value_enum, default_value = "ready")]
        place: Which,
        /// Only refused files with this reason, such as `schema_invalid`.
        #[arg(long, value_name = "CODE")]
        code: Option<String>,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Puts refused files back, to be loaded again: after the program or the database was mended.
    Requeue {
        #[command(flatten)]
        spool: Directory,
        /// Submission ids or file names.
        #[arg(value_name = "ID", required_unless_present_any = ["all", "code"])]
        ids: Vec<String>,
        /// Every refused file.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// Every refused file with this reason, such as `database_refused`.
        #[arg(long, value_name = "CODE", conflicts_with = "ids")]
        code: Option<String>,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Loads archived files again, for instance to rebuild a database: rows that are there stay as they are.
    Replay {
        #[command(flatten)]
        spool: Directory,
        /// Files written at this time or later: 2026-01-31, 2026-01-31T12:00:00Z.
        #[arg(long, value_parser = time, value_name = "TIME")]
        since: SystemTime,
        /// Files written before this time.
        #[arg(long, value_parser = time, value_name = "TIME")]
        until: Option<SystemTime>,
        /// So many files a second, so that new submissions need not wait.
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Removes archived and refused files that are older than their retention.
    Prune {
        #[command(flatten)]
        spool: Directory,
        /// Keep archived files for this long.
        #[arg(long, env = "KCIDB_ARCHIVE_RETENTION", default_value = "365d", value_parser = humantime::parse_duration, value_name = "DURATION")]
        archive: Duration,
        /// Keep refused files for this long.
        #[arg(long, env = "KCIDB_FAILED_RETENTION", default_value = "7d", value_parser = humantime::parse_duration, value_name = "DURATION")]
        failed: Duration,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Where the spool is.
#[derive(Debug, clap::Args)]
pub(crate) struct Directory {
    /// The spool folder.
    #[arg(short = 'd', long, env = "KCIDB_SPOOL", default_value = "/app/spool", value_name = "FOLDER")]
    directory: std::path::PathBuf,
}

/// Which files to list.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Which {
    /// Those that wait to be loaded.
    Ready,
    /// Those that are in the database.
    Archive,
    /// Those that were refused.
    Failed,
}

impl From<Which> for Place {
    fn from(which: Which) -> Self {
        match which {
            Which::Ready => Self::Ready,
            Which::Archive => Self::Archive,
            Which::Failed => Self::Failed,
        }
    }
}

impl Directory {
    fn open(&self) -> anyhow::Result<Spool> {
        Ok(Spool::open(&Options::at(&self.directory))?)
    }
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args {
        Args::List { spool, place, code, json } => list(&spool.open()?, place.into(), code.as_deref(), json)?,
        Args::Requeue { spool, ids, all: _, code, dry_run } => {
            let spool = spool.open()?;
            let files = if ids.is_empty() { failed(&spool, code.as_deref())? } else { named(&ids)? };
            requeue(&spool, Place::Failed, &files, None, dry_run)?;
        }
        Args::Replay { spool, since, until, rate, dry_run } => {
            let spool = spool.open()?;
            let wanted = |entry: &Entry| entry.modified >= since && until.is_none_or(|until| entry.modified < until);
            let mut entries: Vec<Entry> = spool.entries(Place::Archive)?.collect::<Result<_, _>>()?;
            entries.retain(wanted);
            // In the order of arrival, as the rows depend on it where submissions contradict each other.
            entries.sort_by(|a, b| (a.modified, &a.file).cmp(&(b.modified, &b.file)));
            let files: Vec<FileName> = entries.into_iter().map(|entry| entry.file).collect();
            requeue(&spool, Place::Archive, &files, Some(Duration::from_secs(1) / rate), dry_run)?;
        }
        Args::Prune { spool, archive, failed, dry_run } => {
            let spool = spool.open()?;
            prune(&spool, Place::Archive, archive, dry_run)?;
            prune(&spool, Place::Failed, failed, dry_run)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(spool: &Spool, place: Place, code: Option<&str>, json: bool) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for entry in spool.entries(place)? {
        let entry = entry?;
        let reason = if place == Place::Failed { spool.reason_of(&entry.file) } else { None };
        if code.is_some_and(|code| reason.as_ref().is_none_or(|reason| reason.code != code)) {
            continue;
        }
        let written = DateTime::<Utc>::from(entry.modified);
        let line = if json {
            json!({"file": entry.file.as_str(), "size_bytes": entry.size_bytes, "written_at": written, "reason": reason})
                .to_string()
        } else {
            let age = humantime::format_duration(Duration::from_secs(entry.age().as_secs()));
            let reason = reason.map(|reason| format!("  {}: {}", reason.code, reason.reason)).unwrap_or_default();
            format!("{}  {} bytes  {age} old{reason}", entry.file, entry.size_bytes)
        };
        // Whoever reads only the first lines ends the list.
        if writeln!(out, "{line}").is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Every refused file, or those with a reason.
fn failed(spool: &Spool, code: Option<&str>) -> anyhow::Result<Vec<FileName>> {
    let mut files = Vec::new();
    for entry in spool.entries(Place::Failed)? {
        let file = entry?.file;
        if code.is_none_or(|code| spool.reason_of(&file).is_some_and(|reason| reason.code == code)) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The files of submission ids or file names.
fn named(ids: &[String]) -> anyhow::Result<Vec<FileName>> {
    let file = |id: &String| match id.parse::<SubmissionId>() {
        Ok(id) => Ok(id.file_name()),
        Err(_) => id.parse().with_context(|| format!("{id:?} is neither the id of a submission nor a file name")),
    };
    ids.iter().map(file).collect()
}

fn requeue(
    spool: &Spool,
    place: Place,
    files: &[FileName],
    pause: Option<Duration>,
    dry_run: bool,
) -> anyhow::Result<()> {
    let mut missed = 0;
    for file in files {
        if dry_run {
            println!("would put back {file}");
            continue;
        }
        match spool.requeue(place, file) {
            Ok(()) => println!("put back {file}"),
            Err(error) => {
                missed += 1;
                eprintln!("{error}");
            }
        }
        if let Some(pause) = pause {
            std::thread::sleep(pause);
        }
    }
    let done = if dry_run { "would be put back" } else { "put back; the ingester finds them within seconds" };
    eprintln!("{} of {} files {done}", files.len() - missed, files.len());
    if missed > 0 {
        bail!("{missed} of {} files could not be put back", files.len());
    }
    Ok(())
}

fn prune(spool: &Spool, place: Place, keep: Duration, dry_run: bool) -> anyhow::Result<()> {
    let (mut files, mut bytes) = (0_u64, 0);
    for entry in spool.entries(place)? {
        let entry = entry?;
        if entry.age() < keep {
            continue;
        }
        if !dry_run {
            spool.remove(place, &entry.file)?;
        }
        files += 1;
        bytes += entry.size_bytes;
    }
    let (name, done) = (format!("{place:?}").to_lowercase(), if dry_run { "would be removed" } else { "removed" });
    println!("{name}: {files} files older than {} {done}, {bytes} bytes", retention(keep));
    Ok(())
}

/// In days where it is days: months and years are of no fixed length.
fn retention(keep: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match (keep.as_secs() / DAY, keep.as_secs() % DAY) {
        (days @ 1.., 0) => format!("{days} days"),
        _ => humantime::format_duration(keep).to_string(),
    }
}

/// A day or a time.
fn time(text: &str) -> Result<SystemTime, String> {
    let day =
        || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc());
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).ok().or_else(day);
    time.map(SystemTime::from)
        .ok_or_else(|| "write a day such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_understood() {
        assert_eq!(time("1970-01-02"), Ok(SystemTime::UNIX_EPOCH + Duration::from_hours(24)));
        assert_eq!(time("1970-01-01T01:00:00+01:00"), Ok(SystemTime::UNIX_EPOCH));
        assert!(time("yesterday").is_err());
    }

    #[test]
    fn a_retention_is_told_in_the_unit_that_it_was_given_in() {
        assert_eq!(retention(Duration::from_hours(365 * 24)), "365 days");
        assert_eq!(retention(Duration::from_hours(36)), "1day 12h");
        assert_eq!(retention(Duration::ZERO), "0s");
    }

    #[test]
    fn old_files_are_removed_and_young_ones_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(&Options::at(folder.path())).expect("a spool");
        let age = |name: &str, age: Duration| {
            let file = std::fs::File::create(folder.path().join(name)).expect("made");
            file.set_modified(SystemTime::now() - age).expect("aged");
        };
        let day = Duration::from_hours(24);
        for (name, days) in
            [("archive/a.json", 400), ("archive/b.json", 10), ("failed/c.json", 10), ("failed/d.json", 1)]
        {
            age(name, day * days);
        }
        age("waiting.json", day * 1000);
        age("failed/c.reason", day * 10);
        let left = || {
            let mut left = Vec::new();
            for place in ["", "archive", "failed"] {
                let names = std::fs::read_dir(folder.path().join(place)).expect("a folder");
                let files = names.map(|name| name.expect("an entry")).filter(|name| name.path().is_file());
                left.extend(files.map(|name| name.file_name().to_string_lossy().into_owned()));
            }
            left.sort();
            left
        };
        prune(&spool, Place::Archive, day * 365, true).expect("nothing is done");
        assert_eq!(left().len(), 6);
        prune(&spool, Place::Archive, day * 365, false).expect("pruned");
        prune(&spool, Place::Failed, day * 7, false).expect("pruned");
        assert_eq!(left(), ["b.json", "d.json", "waiting.json"]);
    }
}
