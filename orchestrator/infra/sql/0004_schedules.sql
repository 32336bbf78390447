-- What starts by the clock. A schedule that is removed stays as a row, so that a command or a run that made
-- it and comes again does not make it anew.

CREATE TABLE schedules (
    id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL,
    workflow TEXT NOT NULL,
    cron TEXT NOT NULL,          -- five fields
    zone TEXT NOT NULL,          -- IANA name
    text TEXT NOT NULL,          -- the request of each run
    inputs TEXT NOT NULL,        -- JSON
    priority TEXT NOT NULL,      -- '' as the workflow says
    who TEXT NOT NULL,           -- person key of who made it
    who_name TEXT NOT NULL,
    groups TEXT NOT NULL,        -- JSON: of that person, when it was made
    is_admin INTEGER NOT NULL,   -- likewise
    state TEXT NOT NULL,         -- on, paused, removed
    note TEXT NOT NULL,          -- why it was paused, '' by a person's word
    due INTEGER NOT NULL,        -- microseconds since 1970, UTC: the next time that is waited for
    last_run TEXT NOT NULL,      -- id of the newest run it started, '' none yet
    at INTEGER NOT NULL          -- when it was made, as `due`
);

CREATE INDEX schedules_due ON schedules (state, due);
