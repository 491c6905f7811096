-- The five report tables: what labs submit, one row per object.
-- Runs on an empty database and on one that the KernelCI dashboard or the kcidb tools made: what exists is kept and only
-- brought to the shape that loading needs. Names of keys and indexes are those of the dashboard's own migrations.

CREATE SCHEMA IF NOT EXISTS kcidb_ng;

CREATE TABLE IF NOT EXISTS checkouts (
    _timestamp timestamptz,
    id text PRIMARY KEY,
    origin text NOT NULL,
    tree_name text,
    git_repository_url text,
    git_commit_hash text,
    git_commit_name text,
    git_repository_branch text,
    patchset_files jsonb,
    patchset_hash text,
    message_id text,
    comment text,
    start_time timestamptz,
    log_url text,
    log_excerpt varchar(16384),
    valid boolean,
    misc jsonb,
    git_commit_message text,
    git_repository_branch_tip boolean,
    git_commit_tags text[],
    origin_builds_finish_time timestamptz,
    origin_tests_finish_time timestamptz
);

CREATE TABLE IF NOT EXISTS builds (
    _timestamp timestamptz,
    id text PRIMARY KEY,
    origin text NOT NULL,
    comment text,
    start_time timestamptz,
    duration double precision,
    architecture text,
    command text,
    compiler text,
    input_files jsonb,
    output_files jsonb,
    config_name text,
    config_url text,
    log_url text,
    log_excerpt varchar(16384),
    misc jsonb,
    status varchar(10),
    checkout_id text NOT NULL,
    series text GENERATED ALWAYS AS
        (md5(coalesce(config_name, '') || coalesce(compiler, '') || coalesce(architecture, ''))) STORED
);

CREATE TABLE IF NOT EXISTS tests (
    _timestamp timestamptz,
    id text PRIMARY KEY,
    origin text NOT NULL,
    environment_comment text,
    environment_misc jsonb,
    path text,
    comment text,
    log_url text,
    log_excerpt varchar(16384),
    status varchar(10),
    start_time timestamptz,
    duration double precision,
    output_files jsonb,
    misc jsonb,
    number_value double precision,
    environment_compatible text[],
    number_prefix varchar(10),
    number_unit text,
    input_files jsonb,
    build_id text NOT NULL
);

CREATE TABLE IF NOT EXISTS issues (
    _timestamp timestamptz,
    id text PRIMARY KEY,
    version integer NOT NULL,
    origin text NOT NULL,
    report_url text,
    report_subject text,
    culprit_code boolean,
    culprit_tool boolean,
    culprit_harness boolean,
    comment text,
    misc jsonb,
    categories text[],
    CONSTRAINT issues_id_version_a2d04e12_uniq UNIQUE (id, version)
);

CREATE TABLE IF NOT EXISTS incidents (
    _timestamp timestamptz,
    id text PRIMARY KEY,
    origin text NOT NULL,
    issue_version integer NOT NULL,
    present boolean,
    comment text,
    misc jsonb,
    build_id text,
    issue_id text NOT NULL,
    test_id text
);

-- Adoption: the kcidb tools made status and prefix columns enumerations and had no builds.series.
-- All changes of one table go into one statement, so that it is rewritten once.
DO $$
DECLARE
    alteration text;
BEGIN
    FOR alteration IN
        SELECT format('ALTER TABLE %I %s', attrelid::regclass::text,
            string_agg(format('ALTER COLUMN %1$I TYPE varchar(10) USING %1$I::text', attname), ', '))
        FROM pg_attribute
        WHERE (attrelid, attname) IN (('tests'::regclass, 'status'), ('tests'::regclass, 'number_prefix'))
          AND format_type(atttypid, atttypmod) <> 'character varying(10)'
        GROUP BY attrelid
        UNION ALL
        SELECT 'ALTER TABLE builds ' || string_agg(change, ', ')
        FROM (
            SELECT 'ALTER COLUMN status TYPE varchar(10) USING status::text' AS change
            FROM pg_attribute
            WHERE attrelid = 'builds'::regclass AND attname = 'status'
              AND format_type(atttypid, atttypmod) <> 'character varying(10)'
            UNION ALL
            SELECT 'ADD COLUMN series text GENERATED ALWAYS AS (md5(coalesce(config_name, '''')'
                ' || coalesce(compiler, '''') || coalesce(architecture, ''''))) STORED'
            WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'builds'::regclass AND attname = 'series')
        ) AS changes
        HAVING count(*) > 0
    LOOP
        EXECUTE alteration;
    END LOOP;
END
$$;

-- Adoption: the kcidb tools kept every version of an issue as a row of its own. Here, as in the dashboard, an issue is one
-- row. The highest version stays, because it is the one that kcidb's queries show; the others move, whole, to
-- kcidb_ng.issue_versions. Incidents are not touched.
DO $$
DECLARE
    old_key text;
BEGIN
    IF EXISTS (
        SELECT FROM pg_index
        WHERE indrelid = 'issues'::regclass AND indisunique AND indpred IS NULL AND indnkeyatts = 1
          AND indkey[0] = (SELECT attnum FROM pg_attribute WHERE attrelid = 'issues'::regclass AND attname = 'id')
    ) THEN
        RETURN;
    END IF;
    LOCK TABLE issues IN ACCESS EXCLUSIVE MODE;
    CREATE TABLE IF NOT EXISTS kcidb_ng.issue_versions (LIKE issues);
    WITH moved AS (
        DELETE FROM issues AS older
        USING issues AS newer
        WHERE newer.id = older.id AND newer.version > older.version
        RETURNING older.*
    )
    INSERT INTO kcidb_ng.issue_versions
        (_timestamp, id, version, origin, report_url, report_subject, culprit_code, culprit_tool, culprit_harness,
         comment, misc, categories)
    SELECT DISTINCT ON (id, version)
        _timestamp, id, version, origin, report_url, report_subject, culprit_code, culprit_tool, culprit_harness,
        comment, misc, categories
    FROM moved;
    SELECT conname INTO old_key FROM pg_constraint WHERE conrelid = 'issues'::regclass AND contype = 'p';
    IF old_key IS NOT NULL THEN
        EXECUTE format('ALTER TABLE issues DROP CONSTRAINT %I', old_key);
    END IF;
    ALTER TABLE issues ADD CONSTRAINT issues_pkey PRIMARY KEY (id);
    IF NOT EXISTS (SELECT FROM pg_constraint
                   WHERE conrelid = 'issues'::regclass AND conname = 'issues_id_version_a2d04e12_uniq') THEN
        ALTER TABLE issues ADD CONSTRAINT issues_id_version_a2d04e12_uniq UNIQUE (id, version);
    END IF;
END
$$;

CREATE INDEX IF NOT EXISTS checkouts__timestamp ON checkouts (_timestamp);
CREATE INDEX IF NOT EXISTS checkouts_commit_hash ON checkouts (git_commit_hash);
CREATE INDEX IF NOT EXISTS checkouts_commit_name ON checkouts (git_commit_name);
CREATE INDEX IF NOT EXISTS checkouts_commit_tags ON checkouts USING gin (git_commit_tags);
CREATE INDEX IF NOT EXISTS checkouts_git_branch ON checkouts (git_repository_branch);
CREATE INDEX IF NOT EXISTS checkouts_git_url ON checkouts (git_repository_url);
CREATE INDEX IF NOT EXISTS checkouts_id_0952242d_like ON checkouts (id text_pattern_ops);
CREATE INDEX IF NOT EXISTS checkouts_origin ON checkouts (origin);
CREATE INDEX IF NOT EXISTS checkouts_start_time ON checkouts (start_time);
CREATE INDEX IF NOT EXISTS checkouts_tree_name ON checkouts (tree_name);

CREATE INDEX IF NOT EXISTS builds__timestamp ON builds (_timestamp);
CREATE INDEX IF NOT EXISTS builds_architecture ON builds (architecture);
CREATE INDEX IF NOT EXISTS builds_checkout_id_e340e47e ON builds (checkout_id);
CREATE INDEX IF NOT EXISTS builds_checkout_id_e340e47e_like ON builds (checkout_id text_pattern_ops);
CREATE INDEX IF NOT EXISTS builds_compiler ON builds (compiler);
CREATE INDEX IF NOT EXISTS builds_config_name ON builds (config_name);
CREATE INDEX IF NOT EXISTS builds_id_1a7220a9_like ON builds (id text_pattern_ops);
CREATE INDEX IF NOT EXISTS builds_origin ON builds (origin);
CREATE INDEX IF NOT EXISTS builds_series_idx ON builds (series);
CREATE INDEX IF NOT EXISTS builds_start_time ON builds (start_time);
CREATE INDEX IF NOT EXISTS builds_status ON builds (status);

CREATE INDEX IF NOT EXISTS tests__timestamp ON tests (_timestamp);
CREATE INDEX IF NOT EXISTS tests_build_id_551a24f9 ON tests (build_id);
CREATE INDEX IF NOT EXISTS tests_build_id_551a24f9_like ON tests (build_id text_pattern_ops);
CREATE INDEX IF NOT EXISTS tests_environment_compatible ON tests USING gin (environment_compatible);
CREATE INDEX IF NOT EXISTS tests_id_17be4c77_like ON tests (id text_pattern_ops);
CREATE INDEX IF NOT EXISTS tests_origin ON tests (origin);
CREATE INDEX IF NOT EXISTS tests_origin_time_platform ON tests (origin, start_time) WHERE ((environment_misc ->> 'platform'::text) IS NOT NULL);
CREATE INDEX IF NOT EXISTS tests_path ON tests (path);
CREATE INDEX IF NOT EXISTS tests_platform_idx ON tests (((environment_misc ->> 'platform'::text)));
CREATE INDEX IF NOT EXISTS tests_start_time ON tests (start_time);
CREATE INDEX IF NOT EXISTS tests_status ON tests (status);

CREATE INDEX IF NOT EXISTS issues__timestamp ON issues (_timestamp);
CREATE INDEX IF NOT EXISTS issues_categories ON issues USING gin (categories);
CREATE INDEX IF NOT EXISTS issues_culprit_code ON issues (culprit_code);
CREATE INDEX IF NOT EXISTS issues_culprit_harness ON issues (culprit_harness);
CREATE INDEX IF NOT EXISTS issues_culprit_tool ON issues (culprit_tool);
CREATE INDEX IF NOT EXISTS issues_id_84053640_like ON issues (id text_pattern_ops);
CREATE INDEX IF NOT EXISTS issues_origin ON issues (origin);

CREATE INDEX IF NOT EXISTS incidents__timestamp ON incidents (_timestamp);
CREATE INDEX IF NOT EXISTS incidents_build_id_dfa49727 ON incidents (build_id);
CREATE INDEX IF NOT EXISTS incidents_build_id_dfa49727_like ON incidents (build_id text_pattern_ops);
CREATE INDEX IF NOT EXISTS incidents_id_3157cef8_like ON incidents (id text_pattern_ops);
CREATE INDEX IF NOT EXISTS incidents_issue_id_5ef3a289 ON incidents (issue_id);
CREATE INDEX IF NOT EXISTS incidents_issue_id_5ef3a289_like ON incidents (issue_id text_pattern_ops);
CREATE INDEX IF NOT EXISTS incidents_issue_version ON incidents (issue_version);
CREATE INDEX IF NOT EXISTS incidents_origin ON incidents (origin);
CREATE INDEX IF NOT EXISTS incidents_test_id_5d40ff84 ON incidents (test_id);
CREATE INDEX IF NOT EXISTS incidents_test_id_5d40ff84_like ON incidents (test_id text_pattern_ops);
