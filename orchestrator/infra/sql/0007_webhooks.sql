-- Addresses that are told of runs and approvals, and what became of each notice.

CREATE TABLE webhooks (
    id            TEXT    PRIMARY KEY,
    url           TEXT    NOT NULL,
    kinds         TEXT    NOT NULL,  -- JSON: which notices; [] all
    secret        BLOB    NOT NULL,  -- what notices are signed with, encrypted
    digest        TEXT    NOT NULL,  -- of the call that made it: the same call again makes no other
    made_at       INTEGER NOT NULL,  -- microseconds since 1970, UTC, like the others
    made_by       TEXT    NOT NULL,  -- person key
    state         TEXT    NOT NULL,  -- on, off, removed
    note          TEXT    NOT NULL,  -- why it is off
    event         INTEGER NOT NULL,  -- events.id up to which notices were made
    failures      INTEGER NOT NULL,  -- failed attempts since the last good one
    failing_since INTEGER            -- the first of them
) WITHOUT ROWID;

CREATE TABLE notices (
    n         INTEGER PRIMARY KEY,
    id        TEXT    NOT NULL UNIQUE,  -- sent along: the same notice again has the same
    webhook   TEXT    NOT NULL,
    event     INTEGER NOT NULL,  -- events.id: the order of sending; 0: a ping, which goes first
    run_id    TEXT    NOT NULL,  -- '' of a ping
    kind      TEXT    NOT NULL,
    body      TEXT    NOT NULL,  -- JSON, as it is sent
    at        INTEGER NOT NULL,  -- of the event
    state     TEXT    NOT NULL,  -- waiting, sent, failed
    attempts  INTEGER NOT NULL,
    aside     INTEGER NOT NULL,  -- 1: it failed while others got through; they do not wait for it any more
    due       INTEGER NOT NULL,  -- the next attempt; when none follows, the last one
    status    INTEGER NOT NULL,  -- HTTP status of the last answer; 0: none came
    problem   TEXT    NOT NULL
);
CREATE INDEX notices_waiting ON notices (webhook, event, n) WHERE state = 'waiting';
CREATE INDEX notices_waiting_of_run ON notices (webhook, run_id, event, n) WHERE state = 'waiting';
CREATE INDEX notices_of_webhook ON notices (webhook, n);
CREATE INDEX notices_by_time ON notices (due);
