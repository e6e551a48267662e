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

-- Why the new run is not stored, as an answer; NULL if it is to be stored. Its parent is locked. `claim` comes back as
-- whether the run starts at once.
CREATE FUNCTION submit_refusal_1(r json, p_locks text[], p_capacities int[], p_busy text, p_queued bigint,
    p_max_children int, p_max_depth int, OUT refusal json, OUT starts boolean, OUT run_depth int)
LANGUAGE plpgsql AS $$
DECLARE
    v_task int := (r->>'task')::int;
    v_parent bigint := (r->>'parent')::bigint;
    v_name text;
    v_ready bigint;
    v_of_task bigint;
    v_all bigint;
BEGIN
    run_depth := 0;
    IF v_parent IS NOT NULL THEN
        SELECT depth + 1 INTO run_depth FROM runs WHERE no = v_parent AND finished_at IS NULL;
        IF NOT FOUND THEN refusal := json_build_object('is', 'fenced'); RETURN; END IF;
        IF (SELECT count(*) FROM runs WHERE parent = v_parent) >= p_max_children THEN
            refusal := json_build_object('is', 'children'); RETURN;
        END IF;
        IF run_depth > p_max_depth THEN refusal := json_build_object('is', 'depth'); RETURN; END IF;
    END IF;
    IF (r->>'fail_if_busy')::boolean THEN
        v_name := coalesce(p_busy, promised_lock_1(v_task, p_locks, p_capacities));
        IF v_name IS NOT NULL THEN refusal := json_build_object('is', 'busy', 'name', v_name); RETURN; END IF;
    END IF;
    -- The host searches for a deadlock, and comes again.
    IF p_busy IS NOT NULL AND v_parent IS NOT NULL AND NOT (r->>'detached')::boolean AND NOT (r->>'may_wait')::boolean THEN
        refusal := json_build_object('is', 'must_wait'); RETURN;
    END IF;
    SELECT coalesce(sum(ready), 0), coalesce(sum(ready + blocked), 0) INTO v_ready, v_of_task
    FROM queued WHERE task = v_task;
    -- An older run goes first: one of the same task or, if the new run takes locks, any, for it may be about to take the same.
    IF p_locks IS NOT NULL THEN SELECT coalesce(sum(ready), 0) INTO v_ready FROM queued; END IF;
    -- A run that is claimed at once would begin without its parameters.
    starts := (r->>'claim')::boolean AND p_busy IS NULL AND r->>'not_before' IS NULL
        AND json_array_length(r->'parameters') = 0 AND v_ready <= 0;
    IF starts THEN RETURN; END IF;
    v_all := p_queued;
    IF r->>'not_before' IS NOT NULL THEN
        -- Counted separately: they occupy disk space too, but delay no other run.
        SELECT count(*) INTO v_all
        FROM (SELECT 1 FROM runs WHERE status = 1 LIMIT (r->>'max_queued')::bigint) delayed;
    END IF;
    IF v_all >= (r->>'max_queued')::bigint THEN
        refusal := json_build_object('is', 'full', 'waiting', v_all);
    ELSIF v_of_task >= (r->>'max_queued_of_task')::bigint THEN
        refusal := json_build_object('is', 'full', 'waiting', v_of_task);
    END IF;
END $$;

-- Stores new runs. `p_runs` is a JSON array of them, without their inputs, which can be large.
--
-- The answer has one object for each run: `is` is `claimed`, `queued`, `existing` (with the number `no`), or why it is
-- refused: `key` and `id` (used by another request), `fenced`, `children`, `depth`, `busy`, `must_wait`, `full`.
CREATE FUNCTION submit_1(p_host bigint, p_lane int, p_n bigint, p_runs text, p_inputs text[], p_max_children int,
    p_max_depth int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    r json;
    nth int := 0;
    answers json[] := '{}';
    existing record;
    refused record;
    v_parents bigint[];
    v_queued bigint;
    v_no bigint;
    v_seq bigint;
    v_task int;
    v_locks text[];
    v_capacities int[];
    v_busy text;
    v_started bigint;
    v_time bigint;
    parameter json;
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    PERFORM number_lock_1();
    PERFORM lock_names_1((SELECT array_agg(name) FROM json_array_elements(p_runs::json) new,
                          json_array_elements_text(new->'locks') name));
    v_parents := ARRAY(SELECT DISTINCT (new->>'parent')::bigint FROM json_array_elements(p_runs::json) new
                       WHERE new->>'parent' IS NOT NULL);
    IF v_parents <> '{}' THEN PERFORM 1 FROM runs WHERE no = ANY (v_parents) ORDER BY no FOR SHARE; END IF;
    -- Exact but for runs that other hosts claim or requeue at this moment.
    SELECT coalesce(sum(ready + blocked), 0) INTO v_queued FROM queued;
    FOR r IN SELECT * FROM json_array_elements(p_runs::json) LOOP
        nth := nth + 1;
        v_task := (r->>'task')::int;
        IF r->>'key' IS NOT NULL THEN
            SELECT no, id INTO existing FROM runs WHERE task = v_task AND idempotency_key = r->>'key';
            IF FOUND THEN
                IF is_same_request_1(existing.no, v_task, r->>'digest', r->>'text_digest', p_inputs[nth], r->>'labels')
                   AND NOT ((r->>'own_id')::boolean AND existing.id <> r->>'id') THEN
                    answers := answers || json_build_object('is', 'existing', 'no', existing.no);
                ELSE
                    answers := answers || json_build_object('is', 'key');
                END IF;
                CONTINUE;
            END IF;
        END IF;
        SELECT no INTO existing FROM runs WHERE id = r->>'id';
        IF FOUND THEN
            -- An id that a host has made is never used by two requests.
            IF NOT (r->>'own_id')::boolean OR is_same_request_1(
                existing.no, v_task, r->>'digest', r->>'text_digest', p_inputs[nth], r->>'labels') THEN
                answers := answers || json_build_object('is', 'existing', 'no', existing.no);
            ELSE
                answers := answers || json_build_object('is', 'id');
            END IF;
            CONTINUE;
        END IF;
        SELECT array_agg(name ORDER BY at), array_agg(capacity ORDER BY at) INTO v_locks, v_capacities
        FROM ROWS FROM (json_array_elements_text(r->'locks'), json_array_elements_text(r->'capacities'))
            WITH ORDINALITY AS wanted (name, capacity_text, at), LATERAL (SELECT capacity_text::int AS capacity) cast_;
        v_busy := CASE WHEN v_locks IS NULL THEN NULL ELSE busy_for_new_1(v_locks, v_capacities) END;
        SELECT * INTO refused
        FROM submit_refusal_1(r, v_locks, v_capacities, v_busy, v_queued, p_max_children, p_max_depth);
        IF refused.refusal IS NOT NULL THEN
            answers := answers || refused.refusal;
            CONTINUE;
        END IF;
        v_no := nextval('run_numbers');
        v_time := (r->>'time')::bigint;
        v_started := CASE WHEN refused.starts THEN now_ms() END;
        -- Locks of a delayed run are checked when it is due.
        IF r->>'not_before' IS NOT NULL THEN v_busy := NULL; END IF;
        INSERT INTO runs (no, id, task, status, attempt, fence, owner, version, priority, depth, locks, capacities, waits_for,
            not_before, created_at, started_at, parent, detached, on_disconnect, on_interrupt, idempotency_key, request,
            labels)
        VALUES (v_no, r->>'id', v_task,
            CASE WHEN refused.starts THEN 2 WHEN r->>'not_before' IS NULL THEN 0 ELSE 1 END,
            refused.starts::int, refused.starts::int, CASE WHEN refused.starts THEN p_host END,
            CASE WHEN refused.starts THEN (r->>'version')::int END, (r->>'priority')::smallint, refused.run_depth, v_locks,
            v_capacities, v_busy, (r->>'not_before')::bigint, (r->>'created_at')::bigint, v_started,
            (r->>'parent')::bigint, (r->>'detached')::boolean, r->>'on_disconnect',
            CASE WHEN refused.starts THEN r->>'on_interrupt' END, r->>'key', r->>'digest', r->>'labels');
        INSERT INTO run_data (run, input) VALUES (v_no, p_inputs[nth]);
        IF r->>'labels' IS NOT NULL THEN
            INSERT INTO run_labels (key, value, run) SELECT key, value, v_no FROM json_each_text((r->>'labels')::json);
        END IF;
        IF refused.starts THEN
            INSERT INTO events (id, attempt, time, type, data) VALUES (v_no << 32 | 1, 1, v_time, 'run.started', r->>'started');
            IF v_locks IS NOT NULL THEN PERFORM take_locks_1(v_locks); END IF;
            answers := answers || json_build_object(
                'is', 'claimed', 'no', v_no, 'started_at', v_started, 'depth', refused.run_depth);
            CONTINUE;
        END IF;
        INSERT INTO events (id, attempt, time, type, data) VALUES (v_no << 32 | 1, 0, v_time,
            CASE WHEN r->>'not_before' IS NULL THEN 'run.queued' ELSE 'run.delayed' END,
            CASE WHEN r->>'not_before' IS NOT NULL THEN r->>'delayed'
                 WHEN v_busy IS NULL THEN '{}' ELSE '{"waits_for":' || to_json(v_busy) || '}' END);
        v_seq := 1;
        FOR parameter IN SELECT * FROM json_array_elements(r->'parameters') LOOP
            v_seq := v_seq + 1;
            INSERT INTO parameters (run, name, value) VALUES (v_no, parameter->>'name', parameter->>'value');
            INSERT INTO events (id, attempt, time, type, data)
            VALUES (v_no << 32 | v_seq, 0, v_time, 'run.parameter', parameter->>'data');
        END LOOP;
        IF r->>'not_before' IS NULL THEN
            v_queued := v_queued + 1;
            PERFORM count_queued_1(p_host, p_lane, v_task, (v_busy IS NULL)::int, (v_busy IS NOT NULL)::int);
        END IF;
        IF v_busy IS NOT NULL THEN
            -- All runs in line for it may be of tasks that are not loaded. Such runs must not block it.
            PERFORM unblock_waiting_1(p_host, p_lane, v_busy);
            SELECT waits_for INTO v_busy FROM runs WHERE no = v_no;
        END IF;
        answers := answers || json_build_object('is', 'queued', 'no', v_no, 'waits_for', v_busy);
    END LOOP;
    RETURN answer_1(p_host, p_lane, array_to_json(answers)::text);
END $$;
