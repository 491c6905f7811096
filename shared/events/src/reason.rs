//! Why a message was not done: one closed list, whose words appear in logs, metrics, message headers and status answers.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal),+ $(,)?) => {
        /// Why a message is tried again or set aside, or why the log of a node was not analysed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name),+ }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word of this reason.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }
        }
    };
}

reasons! {
    /// The body is no event of ours.
    MalformedEvent = "malformed_event",
    /// The event's type is not known to this consumer.
    UnknownType = "unknown_type",
    /// The message ended the process, or its handler, too often.
    DeliveryLimit = "delivery_limit",
    /// It was tried again too often.
    TooManyAttempts = "too_many_attempts",
    /// The spool could not be read or written.
    SpoolUnavailable = "spool_unavailable",
    /// The worker panicked on the batch that the message was in.
    WorkerPanicked = "worker_panicked",
    /// The event names a file that cannot be in the spool.
    FileNameInvalid = "file_name_invalid",
    /// The log is not there, or not any more.
    Gone = "gone",
    /// The log's server failed.
    ServerError = "server_error",
    /// The log's server asks to come back later.
    ServerBusy = "server_busy",
    /// The log's server did not answer in time, or stopped in the middle.
    Timeout = "timeout",
    /// There is no connection to the log's server, or it broke.
    Unreachable = "unreachable",
    /// The name of the log's server has no address.
    NameUnresolved = "name_unresolved",
    /// The folder of fetched logs cannot be written or read.
    CacheUnavailable = "cache_unavailable",
    /// The log's server refuses to give it.
    HttpRefused = "http_refused",
    /// The log's URL is none, or neither http nor https.
    UrlInvalid = "url_invalid",
    /// The log is at an address that is not for us.
    AddressRefused = "address_refused",
    /// The log's server sends us from one place to the next.
    RedirectsExceeded = "redirects_exceeded",
    /// The log is larger than the limit, as it is sent.
    LogTooLarge = "log_too_large",
    /// What is there is no log: a web page, an image, a program.
    NotPlainText = "not_plain_text",
    /// The log is empty.
    LogEmpty = "log_empty",
    /// The log is compressed, and damaged.
    LogDamaged = "log_damaged",
    /// The parser is not for this log.
    LogUnfit = "log_unfit",
    /// The analyser failed on this log.
    AnalysisFailed = "analysis_failed",
    /// The database refuses what was found.
    DatabaseRefused = "database_refused",
    /// The configuration does not pick this node.
    NotSelected = "not_selected",
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
