-- A run's last event is looked up in `events`: in the run's row it had to be written with every step.
-- Made anew, since not every SQLite in use can drop a column.

CREATE TABLE runs_9 (
    n               INTEGER PRIMARY KEY,   -- events.id of its RunCreated: the order of creation
    id              TEXT    NOT NULL UNIQUE,
    seen_seq        INTEGER NOT NULL,      -- how far an owner is known to have folded the log, at least
    status          TEXT    NOT NULL,
    restless        INTEGER NOT NULL,      -- 1: somebody has to look at it (see sqlite_heads.restless)
    unshown         INTEGER NOT NULL,      -- 1: its last event > presented
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
INSERT INTO runs_9 SELECT n, id, seen_seq, status, restless, unshown, epoch, owner, presented,
    conversation_id, position, workflow, created_at, ended_at, excerpt, who,
    input_tokens, output_tokens, cached_tokens, calls, cost_usd FROM runs;
DROP TABLE runs;
ALTER TABLE runs_9 RENAME TO runs;
CREATE INDEX runs_by_status ON runs (status, n);
CREATE INDEX runs_unfinished ON runs (conversation_id, position) WHERE ended_at IS NULL;
CREATE INDEX runs_of_conversation ON runs (conversation_id, n);
CREATE INDEX runs_restless ON runs (n) WHERE restless = 1;
CREATE INDEX runs_unshown ON runs (n) WHERE unshown = 1;
CREATE INDEX runs_of_person ON runs (who, n);
