-- Locks that runs hold, and the queue.
--
-- What is called often is PL/pgSQL even if it is one statement: a function in plain SQL is planned again at each call.
--
-- The order in which rows are locked, so that no two statements wait for each other: the number lock, locks by name, runs by
-- number, the own lane's rows of `queued`. Whoever changes a run that has locks locks their rows first.

-- Locks the rows of these names, in their order, and makes those that are missing.
CREATE FUNCTION lock_names_1(p_names text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_names text[];
    v_locked bigint;
BEGIN
    SELECT array_agg(DISTINCT name ORDER BY name) INTO v_names FROM unnest(p_names) name WHERE name IS NOT NULL;
    IF v_names IS NULL THEN RETURN; END IF;
    LOOP
        -- Before the first is locked: a row that another transaction is about to make must not be waited for with locks.
        INSERT INTO locks (name)
        SELECT name FROM unnest(v_names) name WHERE NOT EXISTS (SELECT 1 FROM locks WHERE locks.name = name.name)
        ORDER BY name ON CONFLICT DO NOTHING;
        PERFORM 1 FROM locks WHERE name = ANY (v_names) ORDER BY name FOR UPDATE;
        GET DIAGNOSTICS v_locked = ROW_COUNT;
        -- A row may have been removed in between.
        EXIT WHEN v_locked = cardinality(v_names);
    END LOOP;
END $$;

-- The first of the locks that is taken.
CREATE FUNCTION busy_lock_1(p_locks text[], p_capacities int[]) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT wanted.name FROM unnest(p_locks, p_capacities) WITH ORDINALITY wanted (name, capacity, nth)
    JOIN locks ON locks.name = wanted.name WHERE locks.used >= wanted.capacity ORDER BY nth LIMIT 1
$$;

-- The first of the locks that a new run has to wait for: it is taken, or other runs wait for it already.
CREATE FUNCTION busy_for_new_1(p_locks text[], p_capacities int[]) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT wanted.name FROM unnest(p_locks, p_capacities) WITH ORDINALITY wanted (name, capacity, nth)
    LEFT JOIN locks ON locks.name = wanted.name
    WHERE coalesce(locks.used, 0) >= wanted.capacity OR EXISTS (SELECT 1 FROM runs WHERE waits_for = wanted.name)
    ORDER BY nth LIMIT 1
$$;

-- The first of the locks that earlier runs of the task will take before a new one: they are next in line, and wait only for
-- a slot. Runs of other tasks don't count, because these tasks may not be loaded any more.
CREATE FUNCTION promised_lock_1(p_task int, p_locks text[], p_capacities int[]) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT wanted.name FROM unnest(p_locks, p_capacities) WITH ORDINALITY wanted (name, capacity, nth)
    LEFT JOIN locks ON locks.name = wanted.name
    WHERE coalesce(locks.used, 0) + (
        SELECT count(*) FROM (SELECT 1 FROM runs WHERE task = p_task AND status = 0 AND waits_for IS NULL
                              AND wanted.name = ANY (runs.locks) LIMIT wanted.capacity) in_line
    ) >= wanted.capacity
    ORDER BY nth LIMIT 1
$$;

-- Adds to the numbers of queued runs of a task.
CREATE FUNCTION count_queued_1(p_host bigint, p_lane int, p_task int, p_ready bigint, p_blocked bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO queued (host, lane, task, ready, blocked) VALUES (p_host, p_lane, p_task, p_ready, p_blocked)
    ON CONFLICT (host, lane, task) DO UPDATE
        SET ready = queued.ready + EXCLUDED.ready, blocked = queued.blocked + EXCLUDED.blocked;
END $$;

-- Unblocks as many runs that wait for the lock as could take it. As many of each task: the claim decides which tasks are
-- offered and which run is next. The caller has locked the row of the lock, so that no run is forgotten between the look at
-- `used` and the mark.
CREATE FUNCTION unblock_waiting_1(p_host bigint, p_lane int, p_name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_used int;
    v_task int := 0;
    v_unblocked int;
    v_run record;
BEGIN
    SELECT used INTO v_used FROM locks WHERE name = p_name;
    LOOP
        SELECT min(task) INTO v_task FROM runs WHERE waits_for = p_name AND task > v_task;
        EXIT WHEN v_task IS NULL;
        v_unblocked := 0;
        FOR v_run IN
            SELECT no, capacities[array_position(locks, p_name)] AS capacity FROM runs
            WHERE waits_for = p_name AND task = v_task ORDER BY priority DESC, no
        LOOP
            EXIT WHEN coalesce(v_used, 0) + v_unblocked >= coalesce(v_run.capacity, 1);
            UPDATE runs SET waits_for = NULL WHERE no = v_run.no AND waits_for = p_name;
            IF FOUND THEN v_unblocked := v_unblocked + 1; END IF;
        END LOOP;
        IF v_unblocked > 0 THEN
            PERFORM count_queued_1(p_host, p_lane, v_task, v_unblocked, -v_unblocked);
        END IF;
    END LOOP;
END $$;

-- Counts the locks of a run as taken. The caller has locked their rows.
CREATE FUNCTION take_locks_1(p_locks text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE locks SET used = used + 1 WHERE name = ANY (p_locks);
END $$;

-- Counts the locks of a run as released, and unblocks runs that wait for them. Likewise.
CREATE FUNCTION release_locks_1(p_host bigint, p_lane int, p_locks text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_name text;
BEGIN
    IF p_locks IS NULL THEN RETURN; END IF;
    UPDATE locks SET used = greatest(used - 1, 0) WHERE name = ANY (p_locks);
    FOREACH v_name IN ARRAY p_locks LOOP
        PERFORM unblock_waiting_1(p_host, p_lane, v_name);
    END LOOP;
END $$;

-- Counts a queued run as gone, after its row was changed (it was cancelled or paused), and unblocks other runs: it may have
-- been next in line for its locks. The caller has locked their rows, before the run's.
CREATE FUNCTION left_queue_1(p_host bigint, p_lane int, p_task int, p_waits_for text, p_locks text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_name text;
BEGIN
    IF p_waits_for IS NOT NULL THEN
        PERFORM count_queued_1(p_host, p_lane, p_task, 0, -1);
        RETURN;
    END IF;
    PERFORM count_queued_1(p_host, p_lane, p_task, -1, 0);
    IF p_locks IS NULL THEN RETURN; END IF;
    FOREACH v_name IN ARRAY p_locks LOOP
        PERFORM unblock_waiting_1(p_host, p_lane, v_name);
    END LOOP;
END $$;
