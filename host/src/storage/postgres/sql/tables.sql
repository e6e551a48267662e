-- The tables. Times are milliseconds since 1970 by the server's clock, except those of events and of submissions, which are
-- the host's. Text is compared byte by byte (COLLATE "C"), as SQLite does, whatever the locale of the database.
--
-- Foreign keys are left out on purpose: every row is written by one room in one transaction with what it refers to, and a
-- check for each row would cost a lookup on the hot path.

CREATE TABLE meta (
    version  int NOT NULL,                    -- migrations that were applied
    min_host int NOT NULL                     -- a host that knows fewer migrations than this must not write
);
INSERT INTO meta (version, min_host) VALUES (0, 0);

-- A start of a host, or a connected program that is no host: that has no lease, and never owns a run.
CREATE TABLE hosts (
    no          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          text COLLATE "C" NOT NULL UNIQUE,
    name        text COLLATE "C",
    url         text COLLATE "C",             -- where other hosts reach it
    build       text COLLATE "C",             -- version of the program
    started_at  bigint NOT NULL,
    lease_ms    bigint NOT NULL DEFAULT 0,       -- length of the last lease
    lease_until bigint,                       -- 0: it never registered; NULL: no lease, and never declared dead
    dead_at     bigint                        -- when it was declared dead or left, which is for ever
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

-- One row for each writing connection of a host. Every statement that writes changes its row: see gate_1.
CREATE TABLE lanes (
    host   bigint NOT NULL,                   -- hosts.no
    lane   smallint NOT NULL,
    done   bigint NOT NULL DEFAULT 0,         -- number of the last statement that was committed
    fenced boolean NOT NULL DEFAULT false,    -- the host was declared dead: it writes nothing any more
    answer text COLLATE "C",                  -- JSON: what that statement answered; NULL: nothing
    PRIMARY KEY (host, lane)
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE tasks (
    no                int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app               text COLLATE "C" NOT NULL,
    task              text COLLATE "C" NOT NULL,
    without_events_to bigint,                 -- end up to which the events of its runs are removed
    retention         text COLLATE "C",       -- JSON: the rules in force, and those that wait; NULL: all is kept
    UNIQUE (app, task)
);

CREATE TABLE versions (
    no     int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256 text COLLATE "C" NOT NULL UNIQUE
);

-- Numbers of runs. Given under number_lock_1, so that they become visible in their order.
CREATE SEQUENCE run_numbers;

-- Narrow, because each change of a status copies the row. What is large or seldom read is in run_data.
CREATE TABLE runs (
    no                  bigint PRIMARY KEY,
    id                  text COLLATE "C" NOT NULL UNIQUE,
    task                int NOT NULL,         -- tasks.no
    status              smallint NOT NULL,    -- see status_name
    attempt             int NOT NULL,         -- 0: none yet
    fence               int NOT NULL,         -- grows with every claim
    owner               bigint,               -- hosts.no while under way
    version             int,                  -- versions.no of the latest attempt
    priority            smallint NOT NULL,
    depth               smallint NOT NULL,    -- runs above it
    locks               text[] COLLATE "C",   -- names of the locks that it holds while it runs; NULL: none
    capacities          int[],                -- of these locks
    waits_for           text COLLATE "C",     -- the lock that was not free
    not_before          bigint,
    created_at          bigint NOT NULL,
    started_at          bigint,
    finished_at         bigint,
    cancel_requested_at bigint,
    last_seq            bigint,               -- of the terminal event
    parent              bigint,               -- runs.no
    detached            boolean NOT NULL,     -- it goes on when its parent has ended
    on_disconnect       text COLLATE "C",     -- NULL: continue
    on_interrupt        text COLLATE "C",     -- of the latest attempt; NULL: resume
    idempotency_key     text COLLATE "C",
    request             text COLLATE "C",     -- digest, of those with a key or an id of their own
    labels              text COLLATE "C",     -- JSON object; NULL: none
    CHECK (status BETWEEN 0 AND 6)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- Partial where they can be: each change of a status writes an entry of every index that has the row.
CREATE INDEX runs_by_turn ON runs (task, priority DESC, no) WHERE status = 0 AND waits_for IS NULL;
CREATE INDEX runs_by_depth ON runs (task, depth DESC, priority DESC, no)
    WHERE depth > 0 AND status = 0 AND waits_for IS NULL;
CREATE INDEX runs_blocked ON runs (waits_for, task, priority DESC, no) WHERE waits_for IS NOT NULL;
CREATE INDEX runs_blocked_by_depth ON runs (depth, waits_for) WHERE depth > 0 AND waits_for IS NOT NULL;
CREATE INDEX runs_delayed ON runs (not_before) WHERE status = 1;
CREATE INDEX runs_by_owner ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_with_locks ON runs (no) WHERE owner IS NOT NULL AND locks IS NOT NULL;
CREATE INDEX runs_by_end ON runs (task, finished_at, no) WHERE finished_at IS NOT NULL;
CREATE INDEX runs_by_parent ON runs (parent, no) WHERE parent IS NOT NULL;
CREATE INDEX runs_attached ON runs (parent)
    WHERE parent IS NOT NULL AND NOT detached AND finished_at IS NULL AND cancel_requested_at IS NULL;
CREATE UNIQUE INDEX runs_by_key ON runs (task, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX runs_not_ended ON runs (status, no) WHERE status < 4;
CREATE INDEX runs_not_completed ON runs (status, no) WHERE status > 4;
CREATE INDEX runs_by_task ON runs (task, no);
CREATE INDEX runs_by_creation ON runs (created_at, no);

-- Written at most twice, and not copied by a change of status.
CREATE TABLE run_data (
    run         bigint PRIMARY KEY,           -- runs.no
    input       text COLLATE "C" NOT NULL,    -- JSON
    final_value text COLLATE "C",             -- JSON
    error       text COLLATE "C",             -- JSON, without what is in the next column
    error_more  text COLLATE "C"              -- JSON: {"details": …, "trace": …}; NULL: neither
);

CREATE TABLE run_labels (
    key   text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    run   bigint NOT NULL,                    -- runs.no
    PRIMARY KEY (key, value, run)
);
CREATE INDEX run_labels_by_run ON run_labels (run);

-- One key makes the log of all runs a single tree ordered by run and position.
CREATE TABLE events (
    id           bigint PRIMARY KEY,          -- runs.no << 32 | seq
    attempt      int NOT NULL,
    time         bigint NOT NULL,
    type         text COLLATE "C" NOT NULL,
    channel      text COLLATE "C",
    content_type text COLLATE "C",            -- of bytes; NULL for JSON
    data         text COLLATE "C",            -- JSON
    bytes        bytea,
    CHECK ((content_type IS NULL) = (data IS NOT NULL) AND (data IS NULL) = (bytes IS NOT NULL))
);

CREATE TABLE checkpoints (
    run      bigint NOT NULL,                 -- runs.no
    key      text COLLATE "C" NOT NULL,
    value    bytea NOT NULL,
    saved_at bigint NOT NULL,
    PRIMARY KEY (run, key)
);
-- Guests compress what is worth it.
ALTER TABLE checkpoints ALTER COLUMN value SET STORAGE EXTERNAL;

CREATE TABLE signals (
    no      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- oldest first
    run     bigint NOT NULL,                  -- runs.no
    name    text COLLATE "C" NOT NULL,
    payload text COLLATE "C" NOT NULL         -- JSON
);
CREATE INDEX signals_by_run ON signals (run, no);

CREATE TABLE parameters (
    run   bigint NOT NULL,                    -- runs.no
    name  text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,          -- JSON
    PRIMARY KEY (run, name)
);

-- Messages to runs that a host executes. The row goes with the commit of the event that notes the message: that is of the
-- owner, or of whoever ends or requeues the run.
CREATE TABLE messages (
    no    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- oldest first
    run   bigint NOT NULL,                    -- runs.no
    owner bigint NOT NULL,                    -- hosts.no when it was sent
    kind  text COLLATE "C" NOT NULL,          -- cancel, pause, resume, signal, parameter
    name  text COLLATE "C",
    value text COLLATE "C",                   -- JSON
    type  text COLLATE "C",                   -- of the event that notes it; NULL: none does
    data  text COLLATE "C",                   -- of that event
    at    bigint NOT NULL
);
CREATE INDEX messages_by_run ON messages (run, no);
CREATE INDEX messages_by_owner ON messages (owner, no);

-- Locks that were ever taken. Who changes runs that hold, or wait for, a lock has locked its row: see lock_names_1.
CREATE TABLE locks (
    name text COLLATE "C" PRIMARY KEY,
    used int NOT NULL DEFAULT 0 CHECK (used >= 0) -- runs under way that hold it
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

-- Changes of the numbers of queued runs. Each lane has rows of its own, so that no two wait for each other; the sum is the
-- number. Those of dead hosts are added to host 0.
CREATE TABLE queued (
    host    bigint NOT NULL,                  -- hosts.no, or 0
    lane    smallint NOT NULL,
    task    int NOT NULL,                     -- tasks.no
    ready   bigint NOT NULL,                  -- runs that wait for a slot only
    blocked bigint NOT NULL,                  -- runs that wait for a lock
    PRIMARY KEY (host, lane, task)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX queued_by_task ON queued (task);

CREATE TABLE schedules (
    task    int NOT NULL,                     -- tasks.no
    name    text COLLATE "C" NOT NULL,
    spec    text COLLATE "C" NOT NULL,
    reached bigint NOT NULL,                  -- all starts up to then have been made
    turn    bigint NOT NULL DEFAULT 0,        -- tells starts at the same time apart
    PRIMARY KEY (task, name)
);

-- Clients at each host of runs that are cancelled when their last client has disconnected.
CREATE TABLE clients (
    run     bigint NOT NULL,                  -- runs.no
    host    bigint NOT NULL,                  -- hosts.no
    clients int NOT NULL,
    left_at bigint,                           -- when the last one disconnected; NULL: while there is one
    PRIMARY KEY (run, host)
);

-- What one host at a time does for all.
CREATE TABLE duties (
    name  text COLLATE "C" PRIMARY KEY,
    owner bigint NOT NULL,                    -- hosts.no
    until bigint NOT NULL
);

-- Tasks that a host has loaded.
CREATE TABLE offers (
    host    bigint NOT NULL,                  -- hosts.no
    task    int NOT NULL,                     -- tasks.no
    version int NOT NULL,                     -- versions.no
    PRIMARY KEY (host, task)
);

-- The last time of day that was trusted by the retention sweeps, and whether the clock has jumped since.
CREATE TABLE clock (
    believed bigint NOT NULL,
    doubted  boolean NOT NULL
);

-- Now, in milliseconds since 1970.
CREATE FUNCTION now_ms() RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

-- The word for a status, as in HTTP. An ended run has 4 or more.
CREATE FUNCTION status_name(status smallint) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT ('{queued,delayed,running,paused,completed,failed,cancelled}'::text[])[status + 1] $$;

CREATE FUNCTION time_of(ms bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
$$ SELECT to_timestamp(ms / 1000.0) $$;

-- Views for people.
CREATE VIEW run_list AS
SELECT runs.id, tasks.app, tasks.task, status_name(runs.status) AS status, runs.attempt,
       time_of(runs.created_at) AS created, time_of(runs.finished_at) AS finished,
       run_data.input, run_data.final_value, run_data.error
FROM runs JOIN tasks ON tasks.no = runs.task JOIN run_data ON run_data.run = runs.no;

CREATE VIEW run_events AS
SELECT runs.id AS run, events.id & 4294967295 AS seq, events.attempt, time_of(events.time) AS time,
       events.type, events.channel, events.data
FROM events JOIN runs ON runs.no = events.id >> 32;
