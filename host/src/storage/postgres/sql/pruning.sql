-- Removal of ended runs, and what the retention sweeps store.

-- Removes the oldest events of a run below the id `p_until`: at most `p_rows`, and about `p_bytes` bytes of data, but at
-- least one if `p_rows` allows it. `complete`: those were all.
CREATE FUNCTION remove_events_1(p_run bigint, p_until bigint, p_rows bigint, p_bytes bigint,
    OUT events bigint, OUT bytes bigint, OUT complete boolean) LANGUAGE plpgsql AS $$
DECLARE
    v_last bigint;
    v_found bigint;
BEGIN
    SELECT count(*), count(*) FILTER (WHERE goes), coalesce(sum(size) FILTER (WHERE goes), 0), max(id) FILTER (WHERE goes)
    INTO v_found, events, bytes, v_last
    FROM (
        SELECT sized.id, size, nth <= p_rows AND (nth = 1 OR total - size < p_bytes) AS goes
        FROM (
            SELECT e.id, octet_length(coalesce(e.data, '')) + octet_length(coalesce(e.bytes, '')) AS size,
                row_number() OVER up_to AS nth,
                sum(octet_length(coalesce(e.data, '')) + octet_length(coalesce(e.bytes, ''))) OVER up_to AS total
            FROM events e WHERE e.id >= p_run << 32 AND e.id < p_until
            WINDOW up_to AS (ORDER BY e.id ROWS UNBOUNDED PRECEDING) ORDER BY e.id LIMIT p_rows + 1
        ) sized
    ) oldest;
    IF v_last IS NOT NULL THEN
        DELETE FROM events e WHERE e.id >= p_run << 32 AND e.id <= v_last;
    END IF;
    complete := v_found = events;
END $$;

-- The seq of a run's terminal event, if the run (or only its events) may be removed now; else NULL. A run whose parent has
-- not ended stays: the parent may still ask for its outcome, which is in its row.
CREATE FUNCTION removable_1(p_run bigint, p_whole boolean) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT last_seq FROM runs WHERE no = p_run AND finished_at IS NOT NULL
        AND NOT (p_whole AND EXISTS (
            SELECT 1 FROM runs parents WHERE parents.no = runs.parent AND parents.finished_at IS NULL))
$$;

-- Bytes of a run besides its events.
CREATE FUNCTION bytes_of_run_1(p_run bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT octet_length(input)::bigint + coalesce(octet_length(final_value), 0) + coalesce(octet_length(error), 0)
        + coalesce(octet_length(error_more), 0) + coalesce(octet_length(labels), 0)
    FROM runs JOIN run_data ON run_data.run = runs.no WHERE runs.no = p_run
$$;

-- One step of removing runs, or of their events: at most `p_rows` events, of which each run counts as `p_run_cost`, and about
-- `p_bytes` bytes. The answer is JSON: {"runs": …, "events": …, "bytes": …, "done": how many of the runs need no further
-- step}. An ended run never changes, so none is locked; if another host removes the same one, one of the two finds nothing.
CREATE FUNCTION prune_1(p_host bigint, p_lane int, p_n bigint, p_runs bigint[], p_whole boolean, p_rows bigint,
    p_run_cost bigint, p_bytes bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_run bigint;
    v_last bigint;
    v_part record;
    v_of_run bigint;
    v_events bigint := 0;
    v_bytes bigint := 0;
    v_runs bigint := 0;
    v_done int := 0;
    v_room bigint := p_rows;
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    FOREACH v_run IN ARRAY p_runs LOOP
        -- Decided here, in the transaction that removes it.
        v_last := removable_1(v_run, p_whole);
        IF v_last IS NOT NULL THEN
            EXIT WHEN v_room < p_run_cost;
            -- The terminal event is removed with the run; until then, a reader finds the end.
            v_part := remove_events_1(v_run, v_run << 32 | v_last, v_room - p_run_cost, greatest(p_bytes - v_bytes, 0));
            v_events := v_events + v_part.events;
            v_bytes := v_bytes + v_part.bytes;
            v_room := v_room - p_run_cost - v_part.events;
            EXIT WHEN NOT v_part.complete;
        END IF;
        IF v_last IS NOT NULL AND p_whole THEN
            v_of_run := bytes_of_run_1(v_run);
            DELETE FROM runs WHERE no = v_run;
            IF FOUND THEN
                v_part := remove_events_1(v_run, (v_run + 1) << 32, 4294967295, 9223372036854775807);
                DELETE FROM run_data WHERE run = v_run;
                DELETE FROM run_labels WHERE run = v_run;
                DELETE FROM signals WHERE run = v_run;
                DELETE FROM parameters WHERE run = v_run;
                DELETE FROM checkpoints WHERE run = v_run;
                DELETE FROM messages WHERE run = v_run;
                DELETE FROM clients WHERE run = v_run;
                DELETE FROM child_waits WHERE run = v_run;
                v_runs := v_runs + 1;
                v_events := v_events + v_part.events;
                v_bytes := v_bytes + v_part.bytes + v_of_run;
            END IF;
        END IF;
        v_done := v_done + 1;
    END LOOP;
    RETURN answer_1(p_host, p_lane,
        json_build_object('runs', v_runs, 'events', v_events, 'bytes', v_bytes, 'done', v_done)::text);
END $$;

-- Stores up to which end the events of a task's runs are removed. Never closer to now than `p_behind_ms`: a run may still
-- become visible whose end is before one that is visible already.
CREATE FUNCTION set_without_events_1(p_host bigint, p_lane int, p_n bigint, p_task int, p_to bigint, p_behind_ms bigint)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    UPDATE tasks SET without_events_to = least(p_to, now_ms() - p_behind_ms) WHERE no = p_task;
    RETURN '';
END $$;

-- Stores the rules of these tasks.
CREATE FUNCTION set_rules_1(p_host bigint, p_lane int, p_n bigint, p_tasks int[], p_rules text[]) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    PERFORM 1 FROM tasks WHERE no = ANY (p_tasks) ORDER BY no FOR NO KEY UPDATE;
    UPDATE tasks SET retention = given.rules FROM unnest(p_tasks, p_rules) AS given (task, rules) WHERE no = given.task;
    RETURN '';
END $$;

-- Stores the last time that was trusted. The table has one row.
CREATE FUNCTION set_clock_1(p_host bigint, p_lane int, p_n bigint, p_believed bigint, p_doubted boolean) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    UPDATE clock SET believed = p_believed, doubted = p_doubted;
    IF NOT FOUND THEN
        INSERT INTO clock (believed, doubted) VALUES (p_believed, p_doubted);
    END IF;
    RETURN '';
END $$;
