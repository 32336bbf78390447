-- What the log does not say of runs that came over HTTP.

CREATE TABLE api_marks (
    run_id TEXT PRIMARY KEY,
    hidden INTEGER NOT NULL,  -- 1: not in lists any more
    heard  INTEGER NOT NULL   -- lines of its log that a socket was sent
) WITHOUT ROWID;
