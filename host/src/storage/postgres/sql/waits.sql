-- Runs that wait for child runs: so that a host finds a deadlock through runs of other hosts, too.

CREATE TABLE child_waits (
    run      bigint PRIMARY KEY,              -- runs.no
    fence    int NOT NULL,                    -- of the run's claim that waits
    host     bigint NOT NULL,                 -- hosts.no, of whoever reports it
    since    bigint NOT NULL,                 -- number of that host's report: tells waits of one run apart
    children text[] COLLATE "C" NOT NULL      -- runs.id; it waits for any of them
);

-- When each host has last said that its waits go on.
CREATE TABLE wait_reports (
    host bigint PRIMARY KEY,                  -- hosts.no
    at   bigint NOT NULL
);

-- Reports the waits that have ended since the last report, and those that have begun, whose children are JSON arrays.
CREATE FUNCTION report_waits_1(p_host bigint, p_lane int, p_n bigint, p_ended bigint[], p_runs bigint[], p_children text[])
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    -- What the next owner of a run has reported since is not this host's to change.
    DELETE FROM child_waits WHERE run = ANY (p_ended) AND host = p_host;
    INSERT INTO child_waits (run, fence, host, since, children)
    SELECT runs.no, runs.fence, p_host, p_n, ARRAY(SELECT json_array_elements_text(begun.children::json))
    FROM unnest(p_runs, p_children) AS begun (run, children)
    JOIN runs ON runs.no = begun.run AND runs.owner = p_host
    ON CONFLICT (run) DO UPDATE SET fence = EXCLUDED.fence, host = EXCLUDED.host, since = EXCLUDED.since,
        children = EXCLUDED.children;
    INSERT INTO wait_reports (host, at) VALUES (p_host, now_ms()) ON CONFLICT (host) DO UPDATE SET at = EXCLUDED.at;
    RETURN '';
END $$;
