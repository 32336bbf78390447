-- Addresses that are told of runs and approvals, and what became of each notice.

CREATE TABLE webhooks (
    id         TEXT    PRIMARY KEY,
    url        TEXT    NOT NULL,
    kinds      TEXT    NOT NULL,  -- JSON: which notices; [] all
    secret     BLOB    NOT NULL,  -- what notices are signed with, encrypted
    made_at    INTEGER NOT NULL,  -- microseconds since 1970, UTC, like the others
    made_by    TEXT    NOT NULL,  -- person key
    state      TEXT    NOT NULL,  -- on, off, removed
    note       TEXT    NOT NULL,  -- why it is off
    event      INTEGER NOT NULL   -- events.id up to which notices were made
) WITHOUT ROWID;

CREATE TABLE notices (
    id        TEXT    PRIMARY KEY,  -- sent along: the same notice again has the same
    webhook   TEXT    NOT NULL,
    run_id    TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    body      TEXT    NOT NULL,     -- JSON
    at        INTEGER NOT NULL,     -- of the event
    state     TEXT    NOT NULL,     -- waiting, sent, failed
    attempts  INTEGER NOT NULL,
    due       INTEGER NOT NULL,     -- the next attempt
    status    INTEGER NOT NULL,     -- HTTP status of the last answer; 0: none came
    problem   TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX notices_due ON notices (due) WHERE state = 'waiting';
CREATE INDEX notices_of_webhook ON notices (webhook, at);
