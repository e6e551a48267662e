-- New runs.

-- Held until the commit by every transaction that gives numbers to runs, and taken before all other locks. So numbers become
-- visible in their order: who has seen a run will never see one below it appear. A plain sequence would break this in
-- silence, and readers with a cursor would lose runs.
CREATE FUNCTION number_lock_1() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(1937011309, hashtext(current_schema()))
$$;

-- Whether the run was submitted by an equal request.
CREATE FUNCTION is_same_request_1(p_run bigint, p_task int, p_digest text, p_text_digest text, p_input text, p_labels text)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT runs.task = p_task AND coalesce(CASE
        WHEN runs.request IS NOT NULL THEN runs.request IN (p_digest, p_text_digest)
        ELSE run_data.input = p_input AND runs.labels IS NOT DISTINCT FROM p_labels
    END, false) FROM runs JOIN run_data ON run_data.run = runs.no WHERE runs.no = p_run
$$;

-- Why a run can have no further child, as an answer; NULL if it can. Its row is locked.
CREATE FUNCTION parent_refusal_1(p_parent bigint, p_max_children int, p_max_depth int, OUT refusal json, OUT depth int)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT runs.depth + 1 INTO depth FROM runs WHERE no = p_parent AND finished_at IS NULL;
    IF NOT FOUND THEN
        refusal := json_build_object('is', 'fenced');
    ELSIF (SELECT count(*) FROM runs WHERE parent = p_parent) >= p_max_children THEN
        refusal := json_build_object('is', 'children');
    ELSIF depth > p_max_depth THEN
        refusal := json_build_object('is', 'depth');
    END IF;
END $$;

-- Adds to the numbers of queued runs of several tasks.
CREATE FUNCTION count_all_queued_1(p_host bigint, p_lane int, p_tasks int[], p_ready bigint[], p_blocked bigint[])
RETURNS void LANGUAGE sql AS $$
    INSERT INTO queued (host, lane, task, ready, blocked)
    SELECT p_host, p_lane, task, ready, blocked FROM unnest(p_tasks, p_ready, p_blocked) new (task, ready, blocked)
    WHERE ready <> 0 OR blocked <> 0
    ON CONFLICT (host, lane, task) DO UPDATE
        SET ready = queued.ready + EXCLUDED.ready, blocked = queued.blocked + EXCLUDED.blocked
$$;

-- Stores new runs. `p_runs` is a JSON array of them, without their inputs, which can be large.
--
-- The answer has one object for each run: `is` is `claimed`, `queued`, `existing` (with the number `no`), or why it is
-- refused: `key` and `id` (used by another request), `fenced`, `children`, `depth`, `busy`, `must_wait`, `full`.
CREATE FUNCTION submit_1(p_host bigint, p_lane int, p_n bigint, p_runs text, p_inputs text[], p_max_children int,
    p_max_depth int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    r record;
    nth int := 0;
    answers json[] := '{}';
    existing record;
    parent record;
    v_depth int;
    v_parents bigint[];
    v_no bigint;
    v_seq bigint;
    v_locks text[];
    v_busy text;
    v_name text;
    v_starts boolean;
    v_status smallint;
    v_started bigint;
    v_ahead bigint;
    v_waiting bigint;
    parameter record;
    -- Queued runs when the statement began, exact but for runs that other hosts claim or requeue meanwhile, and by task, with
    -- what this statement has added.
    v_queued bigint;
    v_tasks int[] := '{}';
    v_ready bigint[] := '{}';
    v_of_task bigint[] := '{}';
    v_new_ready bigint[] := '{}';
    v_new_blocked bigint[] := '{}';
    t int;
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    PERFORM number_lock_1();
    PERFORM lock_names_1(ARRAY(SELECT json_array_elements_text(new->'locks') FROM json_array_elements(p_runs::json) new));
    v_parents := ARRAY(SELECT DISTINCT (new->>'parent')::bigint FROM json_array_elements(p_runs::json) new
                       WHERE new->>'parent' IS NOT NULL);
    IF v_parents <> '{}' THEN PERFORM 1 FROM runs WHERE no = ANY (v_parents) ORDER BY no FOR SHARE; END IF;
    SELECT coalesce(sum(ready + blocked), 0) INTO v_queued FROM queued;
    FOR r IN SELECT * FROM json_to_recordset(p_runs::json) AS new (id text, own_id boolean, task int, labels text, key text,
        digest text, text_digest text, created_at bigint, not_before bigint, priority smallint, locks text[],
        capacities int[], fail_if_busy boolean, parent bigint, detached boolean, on_disconnect text, max_queued bigint,
        max_queued_of_task bigint, parameters json, claim boolean, version int, on_interrupt text, time bigint,
        started text, delayed text, may_wait boolean)
    LOOP
        nth := nth + 1;
        IF r.key IS NOT NULL THEN
            SELECT no, id INTO existing FROM runs WHERE task = r.task AND idempotency_key = r.key;
            IF FOUND THEN
                IF is_same_request_1(existing.no, r.task, r.digest, r.text_digest, p_inputs[nth], r.labels)
                   AND NOT (r.own_id AND existing.id <> r.id) THEN
                    answers := answers || json_build_object('is', 'existing', 'no', existing.no);
                ELSE
                    answers := answers || json_build_object('is', 'key');
                END IF;
                CONTINUE;
            END IF;
        END IF;
        SELECT no INTO existing FROM runs WHERE id = r.id;
        IF FOUND THEN
            -- An id that a host has made is never used by two requests.
            IF NOT r.own_id OR is_same_request_1(
                existing.no, r.task, r.digest, r.text_digest, p_inputs[nth], r.labels) THEN
                answers := answers || json_build_object('is', 'existing', 'no', existing.no);
            ELSE
                answers := answers || json_build_object('is', 'id');
            END IF;
            CONTINUE;
        END IF;
        v_depth := 0;
        IF r.parent IS NOT NULL THEN
            parent := parent_refusal_1(r.parent, p_max_children, p_max_depth);
            IF parent.refusal IS NOT NULL THEN
                answers := answers || parent.refusal;
                CONTINUE;
            END IF;
            v_depth := parent.depth;
        END IF;
        v_locks := nullif(r.locks, '{}');
        v_busy := CASE WHEN v_locks IS NOT NULL THEN busy_for_new_1(v_locks, r.capacities) END;
        t := array_position(v_tasks, r.task);
        IF t IS NULL THEN
            t := cardinality(v_tasks) + 1;
            v_tasks[t] := r.task;
            SELECT coalesce(sum(ready), 0), coalesce(sum(ready + blocked), 0) INTO v_ahead, v_waiting
            FROM queued WHERE task = r.task;
            v_ready[t] := v_ahead;
            v_of_task[t] := v_waiting;
            v_new_ready[t] := 0;
            v_new_blocked[t] := 0;
        END IF;
        -- An older run goes first: one of the same task or, if the new run takes locks, any, for it may be about to take the
        -- same.
        v_ahead := v_ready[t] + v_new_ready[t];
        IF v_locks IS NOT NULL THEN
            IF r.fail_if_busy THEN
                v_name := coalesce(v_busy, promised_lock_1(r.task, v_locks, r.capacities));
                IF v_name IS NOT NULL THEN
                    answers := answers || json_build_object('is', 'busy', 'name', v_name);
                    CONTINUE;
                END IF;
            END IF;
            -- The host searches for a deadlock, and comes again.
            IF v_busy IS NOT NULL AND r.parent IS NOT NULL AND NOT r.detached AND NOT r.may_wait THEN
                answers := answers || json_build_object('is', 'must_wait');
                CONTINUE;
            END IF;
            SELECT coalesce(sum(ready), 0) + (SELECT sum(new) FROM unnest(v_new_ready) new) INTO v_ahead FROM queued;
        END IF;
        -- A run that is claimed at once would begin without its parameters.
        v_starts := r.claim AND v_busy IS NULL AND r.not_before IS NULL AND v_ahead <= 0
            AND json_array_length(r.parameters) = 0;
        IF NOT v_starts THEN
            v_waiting := v_queued;
            IF r.not_before IS NOT NULL THEN
                -- Counted separately: they occupy disk space too, but delay no other run.
                SELECT count(*) INTO v_waiting FROM (SELECT 1 FROM runs WHERE status = 1 LIMIT r.max_queued) delayed;
            END IF;
            IF v_waiting < r.max_queued THEN
                v_waiting := v_of_task[t] + v_new_ready[t] + v_new_blocked[t];
                IF v_waiting < r.max_queued_of_task THEN v_waiting := NULL; END IF;
            END IF;
            IF v_waiting IS NOT NULL THEN
                answers := answers || json_build_object('is', 'full', 'waiting', v_waiting);
                CONTINUE;
            END IF;
        END IF;
        v_no := nextval('run_numbers');
        v_started := CASE WHEN v_starts THEN now_ms() END;
        v_status := CASE WHEN v_starts THEN 2 WHEN r.not_before IS NULL THEN 0 ELSE 1 END;
        -- Locks of a delayed run are checked when it is due.
        IF v_status = 1 THEN v_busy := NULL; END IF;
        INSERT INTO runs (no, id, task, status, attempt, fence, owner, version, priority, depth, locks, capacities, waits_for,
            not_before, created_at, started_at, parent, detached, on_disconnect, on_interrupt, idempotency_key, request,
            labels)
        VALUES (v_no, r.id, r.task, v_status, v_starts::int, v_starts::int, CASE WHEN v_starts THEN p_host END,
            CASE WHEN v_starts THEN r.version END, r.priority, v_depth, v_locks, nullif(r.capacities, '{}'), v_busy,
            r.not_before, r.created_at, v_started, r.parent, r.detached, r.on_disconnect,
            CASE WHEN v_starts THEN r.on_interrupt END, r.key, r.digest, r.labels);
        INSERT INTO run_data (run, input) VALUES (v_no, p_inputs[nth]);
        IF r.labels IS NOT NULL THEN
            INSERT INTO run_labels (key, value, run) SELECT key, value, v_no FROM json_each_text(r.labels::json);
        END IF;
        INSERT INTO events (id, attempt, time, type, data) VALUES (v_no << 32 | 1, v_starts::int, r.time,
            CASE v_status WHEN 2 THEN 'run.started' WHEN 1 THEN 'run.delayed' ELSE 'run.queued' END,
            CASE v_status WHEN 2 THEN r.started WHEN 1 THEN r.delayed
                ELSE CASE WHEN v_busy IS NULL THEN '{}' ELSE '{"waits_for":' || to_json(v_busy) || '}' END END);
        IF v_starts THEN
            IF v_locks IS NOT NULL THEN PERFORM take_locks_1(v_locks); END IF;
            answers := answers || json_build_object('is', 'claimed', 'no', v_no, 'started_at', v_started, 'depth', v_depth);
            CONTINUE;
        END IF;
        v_seq := 1;
        FOR parameter IN SELECT * FROM json_to_recordset(r.parameters) AS set (name text, value text, data text) LOOP
            v_seq := v_seq + 1;
            INSERT INTO parameters (run, name, value) VALUES (v_no, parameter.name, parameter.value);
            INSERT INTO events (id, attempt, time, type, data)
            VALUES (v_no << 32 | v_seq, 0, r.time, 'run.parameter', parameter.data);
        END LOOP;
        IF v_status = 0 THEN
            v_queued := v_queued + 1;
            IF v_busy IS NULL THEN
                v_new_ready[t] := v_new_ready[t] + 1;
            ELSE
                v_new_blocked[t] := v_new_blocked[t] + 1;
                -- All runs in line for it may be of tasks that are not loaded. Such runs must not block it.
                PERFORM unblock_waiting_1(p_host, p_lane, v_busy);
                SELECT waits_for INTO v_busy FROM runs WHERE no = v_no;
                -- The numbers have changed, so the next run reads them again.
                PERFORM count_all_queued_1(p_host, p_lane, v_tasks, v_new_ready, v_new_blocked);
                v_tasks := '{}';
                v_new_ready := '{}';
                v_new_blocked := '{}';
            END IF;
        END IF;
        answers := answers || json_build_object('is', 'queued', 'no', v_no, 'waits_for', v_busy);
    END LOOP;
    PERFORM count_all_queued_1(p_host, p_lane, v_tasks, v_new_ready, v_new_blocked);
    RETURN answer_1(p_host, p_lane, array_to_json(answers)::text);
END $$;
