-- A person's own runs, newest first.

CREATE INDEX runs_of_person ON runs (who, n);
