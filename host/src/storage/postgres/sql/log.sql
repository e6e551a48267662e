-- Writes of the owners of runs.

-- Notes the messages that are kept for the owner of a run, who loses it now, in events after `p_seq`. Returns these events,
-- as a JSON array.
CREATE FUNCTION note_messages_1(p_run bigint, p_seq bigint, p_attempt int) RETURNS json LANGUAGE plpgsql AS $$
DECLARE v_notes json;
BEGIN
    -- Most runs have none, and a look costs less than a statement that deletes.
    IF NOT EXISTS (SELECT 1 FROM messages WHERE run = p_run) THEN RETURN '[]'; END IF;
    WITH kept AS (
        DELETE FROM messages WHERE run = p_run RETURNING no, type, data, at
    ), notes AS (
        SELECT p_seq + row_number() OVER (ORDER BY no) AS seq, type, data, at FROM kept WHERE type IS NOT NULL
    ), noted AS (
        INSERT INTO events (id, attempt, time, type, data) SELECT p_run << 32 | seq, p_attempt, at, type, data FROM notes
    )
    SELECT coalesce(json_agg(json_build_object('type', type, 'data', data, 'time', at) ORDER BY seq), '[]')
    INTO v_notes FROM notes;
    RETURN v_notes;
END $$;

-- Removes what only another attempt would need.
CREATE FUNCTION remove_attempt_data_1(p_run bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM checkpoints WHERE run = p_run;
    DELETE FROM signals WHERE run = p_run;
    DELETE FROM clients WHERE run = p_run;
END $$;

-- Writes the outcome of a run, whose row the caller has locked, and its terminal event under that number. Its locks are the
-- caller's to release.
CREATE FUNCTION end_run_1(p_run bigint, p_seq bigint, p_attempt int, p_status int, p_time bigint, p_type text, p_data text,
    p_value text, p_error text, p_error_more text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (id, attempt, time, type, data) VALUES (p_run << 32 | p_seq, p_attempt, p_time, p_type, p_data);
    UPDATE runs SET status = p_status, finished_at = now_ms(), last_seq = p_seq, owner = NULL, waits_for = NULL
    WHERE no = p_run;
    IF p_value IS NOT NULL OR p_error IS NOT NULL THEN
        UPDATE run_data SET final_value = p_value, error = p_error, error_more = p_error_more WHERE run = p_run;
    END IF;
    PERFORM remove_attempt_data_1(p_run);
END $$;

-- Appends events of runs, ends runs and requeues them: all that a lane has gathered, in this order.
--
-- Batch k has the events whose `e_batch` is k, each `e_offset` after its first. `b_first` is the number of its first event,
-- or 0 if the owner does not know it. No run is locked for a batch: the gate is the lock, because only this lane of the
-- owner writes to the run, and nobody else does before the owner is declared dead.
--
-- `p_ends` is a JSON array of {run, fence, status, time, type, not_before}; without a status, the run is requeued. What can
-- be large is in the arrays beside it.
--
-- The answer is '' if all was done as asked; else {batches: [first number; 0: fenced; -1: the log is full], ends: [{is, seq, notes}]} with
-- `done`, `fenced`, or `cancelled`: its cancellation was requested, so it must end as cancelled instead.
CREATE FUNCTION write_log_1(p_host bigint, p_lane int, p_n bigint,
    b_run bigint[], b_fence int[], b_first bigint[], b_attempt int[],
    e_batch int[], e_offset int[], e_time bigint[], e_type text[], e_channel text[], e_content_type text[], e_data text[],
    e_bytes bytea[], h_batch int[], h_message bigint[],
    p_ends text, end_data text[], end_value text[], end_error text[], end_error_more text[]
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_firsts bigint[];
    v_runs bigint[];
    v_ends json[] := '{}';
    v_end record;
    v_nth int := 0;
    v_run record;
    v_notes json;
    v_seq bigint;
    v_next smallint;
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    IF cardinality(b_run) > 0 THEN
        SELECT array_agg(CASE
            WHEN runs.no IS NULL THEN 0
            WHEN batch.first > 0 THEN batch.first
            -- The number must not run over into the next run's. No batch has a million events.
            WHEN found.seq > 4294967295 - 1000000 THEN -1
            ELSE found.seq + 1 END ORDER BY nth)
        INTO v_firsts
        FROM unnest(b_run, b_fence, b_first) WITH ORDINALITY batch (run, fence, first, nth)
        LEFT JOIN runs ON runs.no = batch.run AND runs.owner = p_host AND runs.fence = batch.fence
        CROSS JOIN LATERAL (SELECT CASE WHEN batch.first = 0 THEN last_seq_1(batch.run) END AS seq OFFSET 0) found;
        INSERT INTO events (id, attempt, time, type, channel, content_type, data, bytes)
        SELECT b_run[batch] << 32 | (v_firsts[batch] + ofs), b_attempt[batch], time, type, channel, content_type, data, bytes
        FROM unnest(e_batch, e_offset, e_time, e_type, e_channel, e_content_type, e_data, e_bytes)
            event (batch, ofs, time, type, channel, content_type, data, bytes)
        WHERE v_firsts[batch] > 0;
        IF cardinality(h_batch) > 0 THEN
            DELETE FROM messages USING unnest(h_batch, h_message) heard (batch, message)
            WHERE messages.no = heard.message AND messages.run = b_run[batch] AND v_firsts[batch] > 0;
        END IF;
    END IF;
    IF cardinality(end_data) > 0 THEN
        v_runs := ARRAY(SELECT (ending->>'run')::bigint FROM json_array_elements(p_ends::json) ending);
        PERFORM lock_names_1(ARRAY(SELECT unnest(locks) FROM runs WHERE no = ANY (v_runs) AND locks IS NOT NULL));
        PERFORM 1 FROM runs WHERE no = ANY (v_runs) ORDER BY no FOR UPDATE;
    END IF;
    FOR v_end IN SELECT * FROM json_to_recordset(p_ends::json) AS ending
        (run bigint, fence int, status smallint, time bigint, type text, not_before bigint)
    LOOP
        v_nth := v_nth + 1;
        SELECT no, task, attempt, status, locks, cancel_requested_at INTO v_run FROM runs
        WHERE no = v_end.run AND owner = p_host AND fence = v_end.fence;
        IF NOT FOUND THEN
            v_ends := v_ends || json_build_object('is', 'fenced');
            CONTINUE;
        END IF;
        -- It was requested while the run ended or before no attempt would notice, and the canceller was promised it.
        IF v_run.cancel_requested_at IS NOT NULL AND v_end.status IS DISTINCT FROM 6 THEN
            v_ends := v_ends || json_build_object('is', 'cancelled');
            CONTINUE;
        END IF;
        v_seq := last_seq_1(v_run.no);
        v_notes := note_messages_1(v_run.no, v_seq, v_run.attempt);
        v_seq := v_seq + json_array_length(v_notes) + 1;
        IF v_end.status IS NOT NULL THEN
            PERFORM end_run_1(v_run.no, v_seq, v_run.attempt, v_end.status, v_end.time, v_end.type, end_data[v_nth],
                end_value[v_nth], end_error[v_nth], end_error_more[v_nth]);
        ELSE
            INSERT INTO events (id, attempt, time, type, data)
            VALUES (v_run.no << 32 | v_seq, v_run.attempt, v_end.time, v_end.type, end_data[v_nth]);
            v_next := CASE WHEN v_run.status = 3 THEN 3 WHEN v_end.not_before IS NULL THEN 0 ELSE 1 END;
            UPDATE runs SET status = v_next, not_before = v_end.not_before, owner = NULL WHERE no = v_run.no;
            IF v_next = 0 THEN PERFORM count_queued_1(p_host, p_lane, v_run.task, 1, 0); END IF;
        END IF;
        PERFORM release_locks_1(p_host, p_lane, v_run.locks);
        v_ends := v_ends || json_build_object(
            'is', 'done', 'seq', v_seq, 'attempt', v_run.attempt, 'notes', v_notes);
    END LOOP;
    IF cardinality(v_ends) = 0 AND v_firsts = b_first THEN RETURN ''; END IF;
    RETURN answer_1(p_host, p_lane, json_build_object('batches', coalesce(v_firsts, '{}'), 'ends', v_ends)::text);
END $$;

-- Saves or replaces a checkpoint, or removes it if the value is NULL. The answer is '' if that was done, `fenced`, or
-- `limit`: the run's checkpoints would have more bytes than they may.
CREATE FUNCTION save_checkpoint_1(p_host bigint, p_lane int, p_n bigint, p_run bigint, p_fence int, p_key text, p_value bytea,
    p_max_bytes bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    IF NOT EXISTS (SELECT 1 FROM runs WHERE no = p_run AND owner = p_host AND fence = p_fence) THEN
        RETURN answer_1(p_host, p_lane, 'fenced');
    END IF;
    IF p_value IS NULL THEN
        DELETE FROM checkpoints WHERE run = p_run AND key = p_key;
        RETURN '';
    END IF;
    IF (SELECT coalesce(sum(length(value)), 0) FROM checkpoints WHERE run = p_run AND key <> p_key)
        + length(p_value) > p_max_bytes THEN
        RETURN answer_1(p_host, p_lane, 'limit');
    END IF;
    INSERT INTO checkpoints (run, key, value, saved_at) VALUES (p_run, p_key, p_value, now_ms())
    ON CONFLICT (run, key) DO UPDATE SET value = EXCLUDED.value, saved_at = EXCLUDED.saved_at;
    RETURN '';
END $$;
