-- What the Slack adapter must not lose. Slack keeps the messages; this is what came in and what we posted.

CREATE TABLE IF NOT EXISTS inbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,         -- the same delivery again has the same key
    lane TEXT NOT NULL,               -- rows of one lane are handed in in order
    kind TEXT NOT NULL,               -- see inbound.Arrival
    team TEXT NOT NULL,
    enterprise TEXT NOT NULL DEFAULT '',
    payload TEXT NOT NULL,            -- as Slack sent it, JSON; '' once it is done
    received REAL NOT NULL,           -- epoch seconds
    tries INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'done', 'given_up')),
    run_id TEXT NOT NULL DEFAULT ''   -- the run it became
);
CREATE INDEX IF NOT EXISTS inbox_new ON inbox (position) WHERE state = 'new';
CREATE INDEX IF NOT EXISTS inbox_old ON inbox (received) WHERE state <> 'new';
CREATE INDEX IF NOT EXISTS inbox_lane ON inbox (lane, position);

-- Replies in threads that are not ours: the mention that makes a thread ours may come up to a minute later.
CREATE TABLE IF NOT EXISTS early (
    key TEXT PRIMARY KEY,
    lane TEXT NOT NULL,
    team TEXT NOT NULL,
    enterprise TEXT NOT NULL DEFAULT '',
    payload TEXT NOT NULL,
    received REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS early_received ON early (received);

-- Conversations the bot is in: replies there need no mention. thread '' is a direct message's channel.
CREATE TABLE IF NOT EXISTS threads (
    team TEXT NOT NULL,
    channel TEXT NOT NULL,
    thread TEXT NOT NULL,
    requester TEXT NOT NULL DEFAULT '',       -- user id of who wrote last to the bot: streams are addressed to them
    requester_team TEXT NOT NULL DEFAULT '',  -- their team: another one in shared channels
    bot_turns INTEGER NOT NULL DEFAULT 0,     -- turns by other bots since a person wrote last
    since REAL NOT NULL,                      -- epoch seconds of the newest message to the bot
    PRIMARY KEY (team, channel, thread)
);

-- Cards that we posted, so that they are seldom looked for with Slack's scarce list methods.
CREATE TABLE IF NOT EXISTS posted (
    card_id TEXT PRIMARY KEY,
    conversation TEXT NOT NULL,       -- ConversationRef.key
    ts TEXT NOT NULL,                 -- of the first message
    parts TEXT NOT NULL DEFAULT '[]', -- ts of further messages, file ids as "file:F…"
    total INTEGER NOT NULL DEFAULT 1, -- messages and files begun; more than are named here: the last one's outcome is not known
    kind TEXT NOT NULL,               -- Card.kind
    stop_target TEXT NOT NULL DEFAULT '',  -- run id of its Stop button; '' when there is none now
    drawn TEXT NOT NULL DEFAULT '[]', -- digests of what its messages show; '[]': not known
    stream TEXT NOT NULL DEFAULT '',  -- JSON of an open stream; '' when it is an ordinary message
    at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS posted_message ON posted (conversation, ts);
CREATE INDEX IF NOT EXISTS posted_open ON posted (at) WHERE stream <> '';
CREATE INDEX IF NOT EXISTS posted_old ON posted (at);

-- Workspaces that installed the app by OAuth. Tokens are encrypted.
CREATE TABLE IF NOT EXISTS installations (
    enterprise TEXT NOT NULL DEFAULT '',
    team TEXT NOT NULL DEFAULT '',    -- '' for a whole organisation
    user TEXT NOT NULL DEFAULT '',    -- '' for the bot's own row
    installation BLOB NOT NULL,       -- encrypted JSON of slack_sdk's Installation
    at REAL NOT NULL,
    PRIMARY KEY (enterprise, team, user)
);
CREATE TABLE IF NOT EXISTS oauth_states (
    state TEXT PRIMARY KEY,
    expires REAL NOT NULL
);

-- Which organisation a workspace belongs to, learned from events: later calls name the workspace alone.
CREATE TABLE IF NOT EXISTS organisations (
    team TEXT PRIMARY KEY,
    enterprise TEXT NOT NULL
);
