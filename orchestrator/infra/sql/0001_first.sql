-- The log, what commits together with it, and the read models. Times are microseconds since 1970, UTC.

CREATE TABLE events (
    id     INTEGER PRIMARY KEY,  -- order of commits over all runs
    run    INTEGER NOT NULL,     -- runs.n
    seq    INTEGER NOT NULL,     -- 1, 2, 3, … within the run
    at     INTEGER NOT NULL,
    type   TEXT    NOT NULL,
    v      INTEGER NOT NULL,
    body   TEXT    NOT NULL,     -- JSON; large fields are left out and named in `large`
    large  TEXT                  -- JSON: field → {sha256, size, excerpt} of what lies in `blobs`
);
CREATE UNIQUE INDEX events_of_run ON events (run, seq);

CREATE TABLE runs (
    n               INTEGER PRIMARY KEY,   -- events.id of its RunCreated: the order of creation
    id              TEXT    NOT NULL UNIQUE,
    seq             INTEGER NOT NULL,      -- last event
    seen_seq        INTEGER NOT NULL,      -- how far an owner is known to have folded the log
    status          TEXT    NOT NULL,
    restless        INTEGER NOT NULL,      -- 1: somebody has to look at it (see sqlite_log.restless)
    unshown         INTEGER NOT NULL,      -- 1: seq > presented
    epoch           INTEGER NOT NULL,
    owner           TEXT,                  -- the process that works on it
    presented       INTEGER NOT NULL,      -- last event that the outbox has shown
    conversation_id TEXT    NOT NULL,
    position        INTEGER NOT NULL,
    workflow        TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    ended_at        INTEGER,
    excerpt         TEXT    NOT NULL,      -- the turn's first 200 characters
    who             TEXT    NOT NULL,
    input_tokens    INTEGER NOT NULL DEFAULT 0,
    output_tokens   INTEGER NOT NULL DEFAULT 0,
    cached_tokens   INTEGER NOT NULL DEFAULT 0,
    calls           INTEGER NOT NULL DEFAULT 0,
    cost_usd        REAL
);
CREATE INDEX runs_by_status ON runs (status, n);
CREATE INDEX runs_unfinished ON runs (conversation_id, position) WHERE ended_at IS NULL;
CREATE INDEX runs_of_conversation ON runs (conversation_id, n);
CREATE INDEX runs_restless ON runs (n) WHERE restless = 1;
CREATE INDEX runs_unshown ON runs (n) WHERE unshown = 1;

CREATE TABLE inbox (
    key     TEXT PRIMARY KEY,
    run_id  TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE turns (
    conversation_id TEXT    NOT NULL,
    position        INTEGER NOT NULL,
    run             INTEGER NOT NULL,  -- runs.n
    ended_seq       INTEGER,           -- of its RunEnded, which holds the answer
    PRIMARY KEY (conversation_id, position)
) WITHOUT ROWID;

CREATE TABLE approvals (
    id         TEXT    PRIMARY KEY,
    n          INTEGER NOT NULL,  -- events.id of the question
    run        INTEGER NOT NULL,
    asked_seq  INTEGER NOT NULL,
    resolved_seq INTEGER
) WITHOUT ROWID;
CREATE INDEX approvals_of_run ON approvals (run);

CREATE TABLE waiting (
    n           INTEGER PRIMARY KEY,  -- events.id of the question: oldest first
    run         INTEGER NOT NULL,
    approval_id TEXT    NOT NULL
);
CREATE INDEX waiting_of_run ON waiting (run);

CREATE TABLE timers (
    run  INTEGER NOT NULL,
    name TEXT    NOT NULL,  -- "approval:<id>" or "retry:<node>:<visit>"
    at   INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;
CREATE INDEX timers_by_time ON timers (at);

CREATE TABLE usage (
    n             INTEGER PRIMARY KEY,  -- events.id of the model's answer
    run           INTEGER NOT NULL,
    at            INTEGER NOT NULL,
    model         TEXT    NOT NULL,     -- "provider:model"
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    calls         INTEGER NOT NULL,
    cost_usd      REAL
);
CREATE INDEX usage_by_time ON usage (at);

CREATE TABLE blobs (
    sha256  TEXT PRIMARY KEY,
    content BLOB NOT NULL
);

CREATE TABLE definitions (
    digest TEXT PRIMARY KEY,
    body   TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE deliveries (
    card_id         TEXT PRIMARY KEY,
    run_id          TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    digest          TEXT NOT NULL,
    state           TEXT NOT NULL,
    nonce           TEXT NOT NULL,
    message         TEXT  -- JSON
);
CREATE INDEX deliveries_of_run ON deliveries (run_id);

CREATE TABLE channel_settings (
    channel_key TEXT NOT NULL,
    name        TEXT NOT NULL,
    value       TEXT NOT NULL,  -- JSON
    PRIMARY KEY (channel_key, name)
) WITHOUT ROWID;
