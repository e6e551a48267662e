-- Claims of queued runs.

-- Runs that could start, in the order in which they go: by priority, then one of each task in turn. `p_offers` is as in
-- claim_1. With a depth, only runs of at least this depth, and within a task the deepest first.
--
-- Of the priority `floor_priority`, only runs above the number `floor_no`: what is below was claimed. As long as a program
-- holds an old snapshot, the index keeps entries of all runs that were claimed since, and each claim would walk over them.
CREATE FUNCTION ready_runs_1(p_offers text, p_depth int, p_most int)
RETURNS TABLE (no bigint, offer int, locks text[]) LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_depth = 0 THEN
        RETURN QUERY
        SELECT ready.no, offers.nth::int, ready.locks
        FROM json_array_elements(p_offers::json) WITH ORDINALITY offers (o, nth) CROSS JOIN LATERAL (
            SELECT above.no, above.priority, above.locks,
                row_number() OVER (ORDER BY above.priority DESC, above.no) AS turn
            FROM (
                (SELECT runs.no, runs.priority, runs.locks FROM runs
                 WHERE runs.task = (o->>'task')::int AND runs.status = 0 AND runs.waits_for IS NULL
                 AND runs.priority > coalesce((o->>'floor_priority')::smallint, -32768)
                 ORDER BY runs.priority DESC, runs.no LIMIT p_most)
                UNION ALL
                (SELECT runs.no, runs.priority, runs.locks FROM runs
                 WHERE runs.task = (o->>'task')::int AND runs.status = 0 AND runs.waits_for IS NULL
                 AND runs.priority = (o->>'floor_priority')::smallint AND runs.no > (o->>'floor_no')::bigint
                 ORDER BY runs.no LIMIT p_most)
                UNION ALL
                (SELECT runs.no, runs.priority, runs.locks FROM runs
                 WHERE runs.task = (o->>'task')::int AND runs.status = 0 AND runs.waits_for IS NULL
                 AND runs.priority < (o->>'floor_priority')::smallint
                 ORDER BY runs.priority DESC, runs.no LIMIT p_most)
            ) above ORDER BY above.priority DESC, above.no LIMIT p_most
        ) ready WHERE (o->>'room')::int > 0
        ORDER BY ready.priority DESC, ready.turn, offers.nth;
    ELSE
        -- Within a task a deep run goes before one with a higher priority, so a run's place is that of the lowest before it.
        RETURN QUERY
        SELECT ready.no, offers.nth::int, ready.locks
        FROM json_array_elements(p_offers::json) WITH ORDINALITY offers (o, nth) CROSS JOIN LATERAL (
            SELECT deep.no, deep.locks, row_number() OVER in_task AS turn, min(deep.priority) OVER in_task AS place
            FROM (SELECT runs.no, runs.depth, runs.priority, runs.locks FROM runs
                  WHERE runs.task = (o->>'task')::int AND runs.depth > 0 AND runs.depth >= p_depth AND runs.status = 0
                  AND runs.waits_for IS NULL ORDER BY runs.depth DESC, runs.priority DESC, runs.no LIMIT p_most) deep
            WINDOW in_task AS (ORDER BY deep.depth DESC, deep.priority DESC, deep.no)
        ) ready WHERE (o->>'room')::int > 0
        ORDER BY ready.place DESC, ready.turn, offers.nth;
    END IF;
END $$;

-- Unblocks, for each free lock, the first run of at least this depth. Only such runs can start now, and the next in line may
-- not be one of them. They go first, because other runs wait for them. The caller has locked the rows of `p_names`.
CREATE FUNCTION admit_deep_runs_1(p_host bigint, p_lane int, p_depth int, p_names text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    waiting record;
    v_first record;
BEGIN
    FOR waiting IN
        SELECT DISTINCT waits_for, task FROM runs
        WHERE depth >= p_depth AND depth > 0 AND waits_for IS NOT NULL ORDER BY waits_for, task
    LOOP
        SELECT no, locks, capacities INTO v_first FROM runs
        WHERE waits_for = waiting.waits_for AND task = waiting.task AND depth >= p_depth
        ORDER BY depth DESC, priority DESC, no LIMIT 1;
        IF FOUND AND v_first.locks <@ p_names AND busy_lock_1(v_first.locks, v_first.capacities) IS NULL THEN
            UPDATE runs SET waits_for = NULL WHERE no = v_first.no AND waits_for = waiting.waits_for;
            IF FOUND THEN PERFORM count_queued_1(p_host, p_lane, waiting.task, 1, -1); END IF;
        END IF;
    END LOOP;
END $$;

-- Delayed runs whose time has come. As many in one claim: a claim must not take long after an outage.
CREATE FUNCTION due_runs_1() RETURNS TABLE (no bigint, locks text[]) LANGUAGE sql STABLE AS $$
    SELECT runs.no, runs.locks FROM runs WHERE status = 1 AND not_before <= now_ms() ORDER BY not_before LIMIT 256
$$;

-- Claims at most `p_most` runs of at least this depth. `p_offers` is a JSON array of {task, room, version, sha256,
-- on_interrupt, floor_priority, floor_no}, in the order of their turns.
--
-- Candidates are found without a lock, then their locks are locked by name, then the runs, which are looked at again. The
-- answer says whether another claim might find more (`again`): a candidate was blocked, or its lock was not known in time.
CREATE FUNCTION claim_1(p_host bigint, p_lane int, p_n bigint, p_offers text, p_depth int, p_most int, p_time bigint)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    offers json[];
    v_rooms int[];
    v_names text[];
    v_due boolean;
    v_again boolean := false;
    v_run record;
    v_busy text;
    v_name text;
    v_nos bigint[] := '{}';
    v_offers int[] := '{}';
    v_claimed json;
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    SELECT array_agg(o ORDER BY nth), array_agg((o->>'room')::int ORDER BY nth) INTO offers, v_rooms
    FROM json_array_elements(p_offers::json) WITH ORDINALITY each (o, nth);
    v_due := EXISTS (SELECT 1 FROM due_runs_1());
    SELECT array_agg(DISTINCT name) INTO v_names FROM (
        SELECT unnest(locks) AS name FROM ready_runs_1(p_offers, p_depth, p_most) WHERE locks IS NOT NULL
        UNION ALL SELECT unnest(locks) FROM due_runs_1() WHERE locks IS NOT NULL
        UNION ALL SELECT unnest(locks) FROM runs
            WHERE p_depth > 0 AND depth > 0 AND depth >= p_depth AND waits_for IS NOT NULL
    ) wanted;
    PERFORM lock_names_1(v_names);
    IF v_due THEN
        WITH due AS (
            SELECT runs.no FROM due_runs_1() found JOIN runs USING (no) WHERE runs.status = 1
            ORDER BY runs.no FOR UPDATE OF runs SKIP LOCKED
        ), ready AS (
            UPDATE runs SET status = 0, not_before = NULL FROM due WHERE runs.no = due.no RETURNING task
        )
        SELECT count(count_queued_1(p_host, p_lane, task, number, 0)) > 0 INTO v_due
        FROM (SELECT task, count(*) AS number FROM ready GROUP BY task ORDER BY task) counted;
    END IF;
    IF p_depth > 0 THEN PERFORM admit_deep_runs_1(p_host, p_lane, p_depth, v_names); END IF;
    -- More than are wanted: some may be taken by another host at this moment.
    FOR v_run IN
        SELECT runs.no, runs.task, runs.locks, runs.capacities, ready.offer
        FROM ready_runs_1(p_offers, p_depth, 4 * p_most) WITH ORDINALITY ready (no, offer, locks, turn)
        JOIN runs ON runs.no = ready.no
        WHERE runs.status = 0 AND runs.waits_for IS NULL
        ORDER BY ready.turn FOR UPDATE OF runs SKIP LOCKED
    LOOP
        EXIT WHEN cardinality(v_nos) >= p_most;
        CONTINUE WHEN v_rooms[v_run.offer] <= 0;
        IF v_run.locks IS NOT NULL THEN
            IF NOT v_run.locks <@ coalesce(v_names, '{}') THEN
                v_again := true;
                CONTINUE;
            END IF;
            v_busy := busy_lock_1(v_run.locks, v_run.capacities);
            IF v_busy IS NOT NULL THEN
                UPDATE runs SET waits_for = v_busy WHERE no = v_run.no;
                PERFORM count_queued_1(p_host, p_lane, v_run.task, -1, 1);
                -- It may have been next in line for another lock, which is now for the run after it.
                FOREACH v_name IN ARRAY v_run.locks LOOP
                    IF v_name <> v_busy THEN PERFORM unblock_waiting_1(p_host, p_lane, v_name); END IF;
                END LOOP;
                v_again := true;
                CONTINUE;
            END IF;
            PERFORM take_locks_1(v_run.locks);
        END IF;
        v_nos := v_nos || v_run.no;
        v_offers := v_offers || v_run.offer;
        v_rooms[v_run.offer] := v_rooms[v_run.offer] - 1;
    END LOOP;
    IF v_nos = '{}' THEN
        RETURN answer_1(p_host, p_lane, json_build_object('claimed', '[]'::json, 'again', v_again)::text);
    END IF;
    PERFORM count_queued_1(p_host, p_lane, (offers[offer]->>'task')::int, -number, 0)
    FROM (SELECT offer, count(*) AS number FROM unnest(v_offers) offer GROUP BY offer) counted;
    WITH claimed AS (
        UPDATE runs SET status = 2, attempt = attempt + 1, fence = fence + 1, owner = p_host,
            version = (offers[picked.offer]->>'version')::int, started_at = coalesce(started_at, now_ms()),
            on_interrupt = offers[picked.offer]->>'on_interrupt'
        FROM unnest(v_nos, v_offers) WITH ORDINALITY picked (no, offer, nth) WHERE runs.no = picked.no
        RETURNING runs.no, attempt, fence, depth, runs.locks, picked.offer, picked.nth
    ), numbered AS (
        SELECT claimed.*, last_seq_1(no) + 1 AS seq FROM claimed
    ), started AS (
        INSERT INTO events (id, attempt, time, type, data)
        SELECT no << 32 | seq, attempt, p_time, 'run.started',
            '{"attempt":' || attempt || ',"version":"' || (offers[offer]->>'sha256') || '"}' FROM numbered
    )
    SELECT json_agg(json_build_object(
        'no', no, 'attempt', attempt, 'fence', fence, 'depth', depth, 'locks', locks IS NOT NULL,
        'on_interrupt', offers[offer]->>'on_interrupt', 'last_seq', seq,
        'checkpoint', attempt > 1 AND EXISTS (SELECT 1 FROM checkpoints WHERE run = no)
    ) ORDER BY nth) INTO v_claimed FROM numbered;
    RETURN answer_1(p_host, p_lane, json_build_object('claimed', v_claimed, 'again', v_again)::text);
END $$;
