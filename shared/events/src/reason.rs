//! Why a message was not done: one closed list, whose words appear in logs, metrics, message headers and status answers.

/// Why a message is tried again or set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The body is no event of ours.
    MalformedEvent,
    /// The event's type is not known to this consumer.
    UnknownType,
    /// The message ended the process, or its handler, too often.
    DeliveryLimit,
    /// It was tried again too often.
    TooManyAttempts,
    /// The spool could not be read or written.
    SpoolUnavailable,
    /// The worker panicked on the batch that the message was in.
    WorkerPanicked,
    /// The event names a file that cannot be in the spool.
    FileNameInvalid,
}

impl Reason {
    /// The word of this reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedEvent => "malformed_event",
            Self::UnknownType => "unknown_type",
            Self::DeliveryLimit => "delivery_limit",
            Self::TooManyAttempts => "too_many_attempts",
            Self::SpoolUnavailable => "spool_unavailable",
            Self::WorkerPanicked => "worker_panicked",
            Self::FileNameInvalid => "file_name_invalid",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
