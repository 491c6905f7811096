//! The names of spans and of their attributes (spec ops.md 13). The conventions for messaging are still in motion: what
//! changes there changes here alone.

/// The server span of a submission.
pub const SUBMIT: &str = "POST /submit";
/// The span of a batch that the ingester loads.
pub const LOAD_BATCH: &str = "load batch";
/// The span of the transaction with the issues and incidents of a log.
pub const COMMIT_FINDINGS: &str = "commit findings";

/// What a publish does, and the first word of its span's name.
pub const SEND: &str = "send";
/// What a consumer does, and the first word of its span's name.
pub const PROCESS: &str = "process";

/// The broker's name in the conventions.
pub const RABBITMQ: &str = "rabbitmq";
/// Which broker it is.
pub const SYSTEM: &str = "messaging.system";
/// The exchange that is published to, or the queue that is consumed.
pub const DESTINATION: &str = "messaging.destination.name";
/// The routing key.
pub const ROUTING_KEY: &str = "messaging.rabbitmq.destination.routing_key";
/// [`SEND`] or [`PROCESS`].
pub const OPERATION: &str = "messaging.operation.type";
/// The event's id.
pub const MESSAGE_ID: &str = "messaging.message.id";
/// Bytes of the message.
pub const BODY_SIZE: &str = "messaging.message.body.size";
/// Submissions of a batch.
pub const BATCH_COUNT: &str = "messaging.batch.message_count";
/// Which try this is, from 1.
pub const ATTEMPT: &str = "kcidb.attempt";
/// Milliseconds from the event to the start of work.
pub const QUEUE_WAIT: &str = "kcidb.queue_wait_ms";
/// How work on a message ended.
pub const OUTCOME: &str = "kcidb.outcome";
/// The submission that all this is about.
pub const SUBMISSION_ID: &str = "submission.id";
/// Its origin.
pub const ORIGIN: &str = "origin";
/// Issues of a log that were not known.
pub const NEW_ISSUES: &str = "kcidb.new_issues";
/// Incidents of a log that were not known.
pub const NEW_INCIDENTS: &str = "kcidb.new_incidents";
/// The method of a request.
pub const HTTP_METHOD: &str = "http.request.method";
/// The address that a request is for.
pub const HTTP_ROUTE: &str = "http.route";
/// The status of an answer.
pub const HTTP_STATUS: &str = "http.response.status_code";
/// The id of a request, as in the logs.
pub const REQUEST_ID: &str = "http.request.id";
