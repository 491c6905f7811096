-- The ledger: what became of each submission. In a schema of its own, because the tables of the public schema belong to
-- the dashboard.

CREATE TABLE IF NOT EXISTS kcidb_ng.submissions (
    id text PRIMARY KEY,
    name text,
    origin text,
    state text NOT NULL,
    size_bytes bigint,
    sha256 text,
    version text,
    state_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    received_at timestamptz,
    attempts integer NOT NULL,
    code text,
    reason text,
    errors jsonb,
    error_count integer NOT NULL,
    objects jsonb,
    CONSTRAINT submissions_state CHECK (state IN ('received', 'retrying', 'dead', 'rejected', 'ingested'))
);
-- For "what came in lately" and for retention; for "what is not done yet" and "what failed", which are few.
CREATE INDEX IF NOT EXISTS submissions_updated_at ON kcidb_ng.submissions (updated_at);
CREATE INDEX IF NOT EXISTS submissions_open ON kcidb_ng.submissions (state, updated_at) WHERE state <> 'ingested';

COMMENT ON TABLE kcidb_ng.submissions IS 'One row per submission: what became of it';
COMMENT ON COLUMN kcidb_ng.submissions.id IS 'Submission id as answered to the submitter; the file name for files put into the spool by hand';
COMMENT ON COLUMN kcidb_ng.submissions.name IS 'File name in the spool';
COMMENT ON COLUMN kcidb_ng.submissions.origin IS 'Origin that the submitter''s token speaks for, if known';
COMMENT ON COLUMN kcidb_ng.submissions.state IS 'received < retrying < dead < rejected < ingested; only ever moves to the right';
COMMENT ON COLUMN kcidb_ng.submissions.size_bytes IS 'Size of the stored document in bytes';
COMMENT ON COLUMN kcidb_ng.submissions.sha256 IS 'SHA-256 of the stored document, lower-case hex';
COMMENT ON COLUMN kcidb_ng.submissions.version IS 'I/O schema version named in the document, for example 5.3';
COMMENT ON COLUMN kcidb_ng.submissions.received_at IS 'When the gateway made it durable';
COMMENT ON COLUMN kcidb_ng.submissions.state_at IS 'When it got to this state';
COMMENT ON COLUMN kcidb_ng.submissions.updated_at IS 'Time of the newest event that the row knows of';
COMMENT ON COLUMN kcidb_ng.submissions.attempts IS 'How often loading was tried';
COMMENT ON COLUMN kcidb_ng.submissions.code IS 'Why it is in this state: a word of the closed list of reasons';
COMMENT ON COLUMN kcidb_ng.submissions.reason IS 'The same in a sentence';
COMMENT ON COLUMN kcidb_ng.submissions.errors IS 'The first faults of a rejected document (at most 20)';
COMMENT ON COLUMN kcidb_ng.submissions.error_count IS 'How many faults there are in all';
COMMENT ON COLUMN kcidb_ng.submissions.objects IS 'Objects loaded, by list name';
