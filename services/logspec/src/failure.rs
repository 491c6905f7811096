//! Why a log was not analysed, and what follows from it.

use events::Reason;

/// Why a log was not analysed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    /// What happened, in words; no URL, for that may hold a password.
    pub(crate) detail: String,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prospect {
    /// It passes: soon, and with growing pauses.
    Passing,
    /// It may come back: once a day, for three days.
    Gone,
    /// It stays.
    Lasting,
}

impl Failure {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    pub(crate) fn prospect(&self) -> Prospect {
        prospect(self.reason)
    }
}

/// Whether trying again can help.
pub(crate) fn prospect(reason: Reason) -> Prospect {
    match reason {
        Reason::Gone => Prospect::Gone,
        Reason::ServerError
        | Reason::ServerBusy
        | Reason::Timeout
        | Reason::Unreachable
        | Reason::NameUnresolved
        | Reason::CacheUnavailable => Prospect::Passing,
        _ => Prospect::Lasting,
    }
}

/// Every reason that the log of a node may have, for the page of operators.
#[cfg(test)]
pub(crate) const REASONS: [Reason; 19] = [
    Reason::Gone,
    Reason::ServerError,
    Reason::ServerBusy,
    Reason::Timeout,
    Reason::Unreachable,
    Reason::NameUnresolved,
    Reason::CacheUnavailable,
    Reason::HttpRefused,
    Reason::UrlInvalid,
    Reason::AddressRefused,
    Reason::RedirectsExceeded,
    Reason::LogTooLarge,
    Reason::NotPlainText,
    Reason::LogEmpty,
    Reason::LogDamaged,
    Reason::LogUnfit,
    Reason::AnalysisFailed,
    Reason::DatabaseRefused,
    Reason::NotSelected,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Reasons that a message has and a log has not.
    const OF_MESSAGES: [Reason; 7] = [
        Reason::MalformedEvent,
        Reason::UnknownType,
        Reason::DeliveryLimit,
        Reason::TooManyAttempts,
        Reason::SpoolUnavailable,
        Reason::WorkerPanicked,
        Reason::FileNameInvalid,
    ];

    #[test]
    fn every_reason_is_one_of_logs_or_of_messages() {
        for reason in Reason::ALL {
            assert!(REASONS.contains(reason) != OF_MESSAGES.contains(reason), "{reason}");
        }
    }

    #[test]
    fn the_page_for_operators_lists_every_reason_and_what_follows() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/log-worker.md"))
            .expect("the page");
        let (_, table) = page.split_once("| reason | meaning | what follows |").expect("the table");
        let told: Vec<(String, &str)> = table
            .lines()
            .skip(2)
            .map_while(|line| line.strip_prefix("| `")?.strip_suffix(" |"))
            .map(|line| {
                (line.split('`').next().unwrap_or_default().to_owned(), line.rsplit(" | ").next().unwrap_or(""))
            })
            .collect();
        let follows = |reason| match prospect(reason) {
            Prospect::Passing => "tried again",
            Prospect::Gone => "tried again once a day, three times",
            Prospect::Lasting => "nothing",
        };
        assert_eq!(told, REASONS.map(|reason| (reason.as_str().to_owned(), follows(reason))));
    }
}
