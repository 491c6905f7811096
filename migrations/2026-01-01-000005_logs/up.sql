-- What became of the logs of failed nodes, one row per node; and which submission told of which node.

CREATE TABLE IF NOT EXISTS kcidb_ng.logs (
    kind text NOT NULL,
    id text NOT NULL,
    origin text NOT NULL,
    submission_id text,
    log_url text NOT NULL,
    outcome text NOT NULL,
    reason text,
    attempts integer NOT NULL,
    next_try_at timestamptz,
    parser text,
    parser_version text,
    log_sha256 text,
    log_bytes bigint,
    is_cut boolean NOT NULL,
    new_status text,
    issues integer NOT NULL,
    incidents integer NOT NULL,
    analyzed_at timestamptz NOT NULL,
    announce jsonb,
    PRIMARY KEY (kind, id),
    CONSTRAINT logs_kind CHECK (kind IN ('build', 'test')),
    CONSTRAINT logs_outcome CHECK (outcome IN ('analyzed', 'failed', 'retrying', 'skipped'))
);
-- For what is to be tried again, and for events that a killed process has not published; both are few.
CREATE INDEX IF NOT EXISTS logs_next_try_at ON kcidb_ng.logs (next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS logs_announce ON kcidb_ng.logs (analyzed_at) WHERE announce IS NOT NULL;
-- For retention.
CREATE INDEX IF NOT EXISTS logs_analyzed_at ON kcidb_ng.logs (analyzed_at);

CREATE TABLE IF NOT EXISTS kcidb_ng.submission_logs (
    submission_id text NOT NULL,
    kind text NOT NULL,
    id text NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (submission_id, kind, id)
);

-- Known issues by the place in the source. Only what the analyser's digests can be is indexed, so that nothing in a
-- submission can be too long for an index.
CREATE INDEX IF NOT EXISTS issues_logspec_signature_loc
    ON issues (origin, (misc -> 'logspec' -> 'error' ->> 'signature_loc'), _timestamp)
    WHERE length(misc -> 'logspec' -> 'error' ->> 'signature_loc') = 40;

COMMENT ON TABLE kcidb_ng.logs IS 'One row per failed node whose log was looked at: what became of it';
COMMENT ON COLUMN kcidb_ng.logs.kind IS 'build or test';
COMMENT ON COLUMN kcidb_ng.logs.id IS 'Id of the node';
COMMENT ON COLUMN kcidb_ng.logs.submission_id IS 'The submission that told of it last; NULL when the sweep found it';
COMMENT ON COLUMN kcidb_ng.logs.outcome IS 'analyzed; failed: see reason; retrying: failed, and tried again soon; skipped: the configuration does not pick it';
COMMENT ON COLUMN kcidb_ng.logs.reason IS 'Why not analyzed: a word of the closed list of reasons (docs/log-worker.md)';
COMMENT ON COLUMN kcidb_ng.logs.attempts IS 'How often fetching it was tried';
COMMENT ON COLUMN kcidb_ng.logs.next_try_at IS 'When the sweep tries it again; NULL: never';
COMMENT ON COLUMN kcidb_ng.logs.log_sha256 IS 'SHA-256 of the log as analyzed: unpacked, up to the limit';
COMMENT ON COLUMN kcidb_ng.logs.log_bytes IS 'Its size in bytes';
COMMENT ON COLUMN kcidb_ng.logs.is_cut IS 'The log went on beyond the limit';
COMMENT ON COLUMN kcidb_ng.logs.new_status IS 'What the status of a boot test should have been, as far as the log tells';
COMMENT ON COLUMN kcidb_ng.logs.issues IS 'Issues found in it, known ones included';
COMMENT ON COLUMN kcidb_ng.logs.incidents IS 'Incidents found in it';
COMMENT ON COLUMN kcidb_ng.logs.analyzed_at IS 'When the row was written';
COMMENT ON COLUMN kcidb_ng.logs.announce IS 'Events that are not known to be published yet';
COMMENT ON TABLE kcidb_ng.submission_logs IS 'The failed nodes with a log that a submission brought';
