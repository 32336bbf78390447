-- The versions of each workflow. Rows are only added: the newest of a name counts, and a rollback or a
-- removal is a row of its own. `n` grows with every change, in whichever process it is made.

CREATE TABLE workflow_versions (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,    -- 1, 2, … for each name
    origin TEXT NOT NULL,        -- file, saved, rollback, removed
    source TEXT NOT NULL,        -- the file, pack or path it comes from; '': people saved it
    digest TEXT NOT NULL,        -- of the definition; '' where it was removed
    definition TEXT,             -- JSON; NULL where it was removed
    who TEXT NOT NULL,           -- person key, '' for a file
    who_name TEXT NOT NULL,
    note TEXT NOT NULL,
    at INTEGER NOT NULL,         -- microseconds since 1970, UTC
    UNIQUE (name, version)
);
