-- The gate, and hosts that come and go.
--
-- Names end in the version of the function. A function that a released host calls is never changed: a change is a new
-- version beside it, so that hosts of two releases work on one database.

-- The gate of every statement that writes. The row is three things:
-- * The fence of the host. Declaring it dead sets `fenced`, and so waits for a statement under way and sees its rows. A
--   statement that comes later writes nothing.
-- * The marker of the statement. A host whose connection is lost can't know whether its last statement was committed. It
--   sends it again with the same number: it is done now, or it finds that it was done.
-- * The answer of that statement, for this second case.
-- Returns false if the caller must write nothing. It then returns NULL, and the host reads the row.
CREATE FUNCTION gate_1(p_host bigint, p_lane int, p_n bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE lanes SET done = p_n, answer = NULL
    WHERE host = p_host AND lane = p_lane AND done = p_n - 1 AND NOT fenced;
    RETURN FOUND;
END $$;

-- Keeps the answer of a statement that has passed the gate, and returns it. A statement without an answer returns ''.
CREATE FUNCTION answer_1(p_host bigint, p_lane int, p_answer text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE lanes SET answer = p_answer WHERE host = p_host AND lane = p_lane;
    RETURN p_answer;
END $$;

-- Number of a host, new or known; of a new one that has not registered the lease has passed. Without `p_leased` it is no
-- host, but a program that writes without owning runs. NULL if it was declared dead.
CREATE FUNCTION host_no_1(p_id text, p_leased boolean, p_lanes int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_no bigint;
    v_dead_at bigint;
BEGIN
    INSERT INTO hosts (id, started_at, lease_until) VALUES (p_id, now_ms(), CASE WHEN p_leased THEN 0 END)
    ON CONFLICT DO NOTHING;
    SELECT no, dead_at INTO v_no, v_dead_at FROM hosts WHERE id = p_id;
    IF v_dead_at IS NOT NULL THEN RETURN NULL; END IF;
    INSERT INTO lanes (host, lane) SELECT v_no, lane FROM generate_series(0, p_lanes - 1) lane ON CONFLICT DO NOTHING;
    RETURN v_no;
END $$;

-- Registers a host, with what it says of itself and a lease. Returns nothing if it was declared dead.
CREATE FUNCTION register_1(p_id text, p_name text, p_url text, p_build text, p_started_at bigint, p_lease_ms bigint,
    p_lanes int) RETURNS TABLE (host bigint, others int, now bigint) LANGUAGE plpgsql AS $$
DECLARE
    v_host bigint := host_no_1(p_id, true, p_lanes);
BEGIN
    UPDATE hosts SET name = p_name, url = p_url, build = p_build, started_at = p_started_at, lease_ms = p_lease_ms,
        lease_until = now_ms() + p_lease_ms
    WHERE no = v_host AND dead_at IS NULL;
    IF FOUND THEN RETURN QUERY SELECT v_host, others_1(v_host), now_ms(); END IF;
END $$;

-- Renews a lease. Returns nothing if the host has not registered or was declared dead.
CREATE FUNCTION renew_lease_1(p_id text, p_lease_ms bigint) RETURNS TABLE (others int, now bigint)
LANGUAGE plpgsql AS $$
DECLARE v_host bigint;
BEGIN
    UPDATE hosts SET lease_ms = p_lease_ms, lease_until = now_ms() + p_lease_ms
    WHERE id = p_id AND dead_at IS NULL AND lease_until > 0 RETURNING no INTO v_host;
    IF FOUND THEN RETURN QUERY SELECT others_1(v_host), now_ms(); END IF;
END $$;

-- How many other hosts are alive: registered, and not declared dead.
CREATE FUNCTION others_1(p_host bigint) RETURNS int LANGUAGE sql STABLE AS $$
    SELECT count(*)::int FROM hosts WHERE lease_until > 0 AND dead_at IS NULL AND no <> p_host
$$;

-- Declares hosts dead, whose rows the caller has locked. Waits for their statements under way. After the commit they write
-- nothing any more, and what they counted is added to host 0.
CREATE FUNCTION bury_1(p_hosts bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM lanes WHERE host = ANY (p_hosts) ORDER BY host, lane FOR UPDATE;
    UPDATE lanes SET fenced = true WHERE host = ANY (p_hosts);
    UPDATE hosts SET dead_at = now_ms() WHERE no = ANY (p_hosts) AND dead_at IS NULL;
    WITH counted AS (DELETE FROM queued WHERE host = ANY (p_hosts) RETURNING task, ready, blocked)
    INSERT INTO queued (host, lane, task, ready, blocked)
    SELECT 0, 0, task, sum(ready), sum(blocked) FROM counted GROUP BY task ORDER BY task
    ON CONFLICT (host, lane, task) DO UPDATE
        SET ready = queued.ready + EXCLUDED.ready, blocked = queued.blocked + EXCLUDED.blocked;
    DELETE FROM offers WHERE host = ANY (p_hosts);
    -- Their clients have disconnected, no later than now.
    UPDATE clients SET clients = 0, left_at = coalesce(left_at, now_ms()) WHERE host = ANY (p_hosts);
    DELETE FROM duties WHERE owner = ANY (p_hosts);
    DELETE FROM wait_reports WHERE host = ANY (p_hosts);
END $$;

-- A host that stops: others take its runs at once.
CREATE FUNCTION leave_1(p_host bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM hosts WHERE no = p_host AND dead_at IS NULL FOR UPDATE;
    IF FOUND THEN PERFORM bury_1(ARRAY[p_host]); END IF;
END $$;

-- Whether there is anything for declare_dead_1 or claim_orphans_1 to do. NULL if the host itself was declared dead.
CREATE FUNCTION orphans_1(p_host bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM hosts WHERE lease_until < now_ms() AND dead_at IS NULL AND no <> p_host)
        OR EXISTS (SELECT 1 FROM hosts JOIN runs ON runs.owner = hosts.no
                   WHERE hosts.dead_at IS NOT NULL AND hosts.no <> p_host)
    FROM hosts WHERE no = p_host AND dead_at IS NULL
$$;

-- Declares hosts past their lease dead. Not before the server and the caller's connection have been up for the length of
-- that lease: after an outage, the hosts that live must have their chance to renew. And not by a host whose own lease is
-- over: it was away as long as they have been.
CREATE FUNCTION declare_dead_1(p_host bigint, p_lane int, p_n bigint, p_connected_ms bigint)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_up_ms bigint := floor(extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()) * 1000);
    v_is_alive boolean;
    v_dead bigint[];
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    v_is_alive := EXISTS (SELECT 1 FROM hosts WHERE no = p_host AND lease_until >= now_ms());
    -- Other statements of this host wait behind this one. If a dead host's statement is stuck, they must not wait for long.
    PERFORM set_config('lock_timeout', '800ms', true);
    -- A host whose row is locked renews at this moment, or is judged by another host.
    SELECT array_agg(no) INTO v_dead FROM (
        SELECT no FROM hosts
        WHERE dead_at IS NULL AND no <> p_host
        AND (lease_until = 0 OR v_is_alive)
        AND CASE WHEN lease_until IS NOT NULL
            THEN lease_until < now_ms() AND lease_ms <= least(v_up_ms, p_connected_ms)
            -- No host. If it lives, it comes back under another number.
            ELSE started_at < now_ms() - 7 * 86400000 END
        ORDER BY no FOR UPDATE SKIP LOCKED
    ) expired;
    IF v_dead IS NOT NULL THEN PERFORM bury_1(v_dead); END IF;
    -- Forgotten a day later: nobody holds a fence of theirs any more.
    WITH forgotten AS (
        DELETE FROM hosts WHERE dead_at < now_ms() - 86400000 AND NOT EXISTS (SELECT 1 FROM runs WHERE owner = hosts.no)
        RETURNING no
    )
    DELETE FROM lanes USING forgotten WHERE lanes.host = forgotten.no;
    RETURN '';
END $$;

-- Gives runs of dead hosts to the caller. They keep their locks: for other runs, they are still under way.
CREATE FUNCTION claim_orphans_1(p_host bigint, p_lane int, p_n bigint, p_limit int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE v_claimed json;
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    WITH orphans AS (
        SELECT runs.no FROM hosts JOIN runs ON runs.owner = hosts.no
        WHERE hosts.dead_at IS NOT NULL AND hosts.no <> p_host
        ORDER BY runs.no LIMIT p_limit FOR UPDATE OF runs SKIP LOCKED
    ), taken AS (
        UPDATE runs SET fence = fence + 1, owner = p_host FROM orphans WHERE runs.no = orphans.no
        RETURNING runs.no, attempt, fence, depth, locks, on_interrupt
    )
    SELECT json_agg(json_build_object(
        'no', no, 'attempt', attempt, 'fence', fence, 'depth', depth, 'locks', locks IS NOT NULL,
        'on_interrupt', on_interrupt, 'last_seq', last_seq_1(no),
        'checkpoint', EXISTS (SELECT 1 FROM checkpoints WHERE run = no)
    ) ORDER BY no) INTO v_claimed FROM taken;
    RETURN answer_1(p_host, p_lane, coalesce(v_claimed, '[]')::text);
END $$;

-- The number of the run's newest event; 0 if it has none.
CREATE FUNCTION last_seq_1(p_run bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT id & 4294967295 FROM events
                     WHERE id > p_run << 32 AND id < (p_run + 1) << 32 ORDER BY id DESC LIMIT 1), 0)
$$;
