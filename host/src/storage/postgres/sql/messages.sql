-- Messages to runs: pause, resume, cancel, signals, parameters.
--
-- The answer is JSON: {"outcome": …, "run": number of the run, "message": number of the message}. "outcome" is "none" (there
-- is no such run), "ended" (it had ended before), "unchanged", "kept" (it has no owner; the note is in its log), "owner" (it
-- has one, for which the message is kept), "cancelled" (it has ended now) or "limit".

-- The run, locked; all NULL if there is none. With locks: those of the run are locked before it, because a run that leaves
-- the queue may let others pass. The names of its locks never change, so they can be read before.
CREATE FUNCTION reached_1(p_id text, p_with_locks boolean) RETURNS runs LANGUAGE plpgsql AS $$
DECLARE
    v_run runs;
BEGIN
    IF p_with_locks THEN
        PERFORM lock_names_1((SELECT locks FROM runs WHERE id = p_id AND status < 4));
    END IF;
    SELECT * INTO v_run FROM runs WHERE id = p_id FOR NO KEY UPDATE;
    RETURN v_run;
END $$;

-- Appends an event to the log of a run without an owner, which is locked. Returns its seq.
CREATE FUNCTION note_1(p_run bigint, p_attempt int, p_time bigint, p_type text, p_data text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_seq bigint := last_seq_1(p_run) + 1;
BEGIN
    INSERT INTO events (id, attempt, time, type, data) VALUES (p_run << 32 | v_seq, p_attempt, p_time, p_type, p_data);
    RETURN v_seq;
END $$;

CREATE FUNCTION message_answer_1(p_outcome text, p_run bigint, p_message bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT json_build_object('outcome', p_outcome, 'run', p_run, 'message', p_message)::text $$;

-- Why a run receives no message, as an answer; NULL if it does.
CREATE FUNCTION unreached_1(p_run runs) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_run.no IS NULL THEN message_answer_1('none', 0, 0)
                WHEN p_run.status >= 4 THEN message_answer_1('ended', p_run.no, 0) END
$$;

-- Notes a message if the run has no owner, or keeps it for the owner. The run is locked, so messages to it are numbered and
-- become visible in one order.
CREATE FUNCTION tell_1(p_run runs, p_kind text, p_name text, p_value text, p_time bigint, p_type text, p_data text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_message bigint;
BEGIN
    IF p_run.owner IS NULL THEN
        PERFORM note_1(p_run.no, p_run.attempt, p_time, p_type, p_data);
        RETURN message_answer_1('kept', p_run.no, 0);
    END IF;
    INSERT INTO messages (run, owner, kind, name, value, type, data, at)
    VALUES (p_run.no, p_run.owner, p_kind, p_name, p_value, p_type, p_data, p_time) RETURNING no INTO v_message;
    RETURN message_answer_1('owner', p_run.no, v_message);
END $$;

-- Pauses a run, or resumes it.
CREATE FUNCTION set_paused_1(p_host bigint, p_lane int, p_n bigint, p_id text, p_paused boolean, p_time bigint, p_type text,
    p_data text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_run runs;
    v_answer text;
    v_next smallint;
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    v_run := reached_1(p_id, true);
    v_answer := unreached_1(v_run);
    IF v_answer IS NULL AND p_paused = (v_run.status = 3) THEN
        v_answer := message_answer_1('unchanged', v_run.no, 0);
    END IF;
    IF v_answer IS NULL THEN
        v_next := CASE WHEN p_paused THEN 3 WHEN v_run.owner IS NOT NULL THEN 2
                       WHEN v_run.not_before > now_ms() THEN 1 ELSE 0 END;
        -- A paused run waits for no lock. When it is resumed, its locks are looked at again.
        UPDATE runs SET status = v_next, waits_for = NULL WHERE no = v_run.no;
        IF v_run.status = 0 THEN
            PERFORM left_queue_1(p_host, p_lane, v_run.task, v_run.waits_for, v_run.locks);
        ELSIF v_next = 0 THEN
            PERFORM count_queued_1(p_host, p_lane, v_run.task, 1, 0);
        END IF;
        v_answer := tell_1(v_run, CASE WHEN p_paused THEN 'pause' ELSE 'resume' END, NULL, NULL, p_time, p_type, p_data);
    END IF;
    RETURN answer_1(p_host, p_lane, v_answer);
END $$;

-- Ends a run without an owner as cancelled, or records the request for the owner. The event is the terminal one.
CREATE FUNCTION cancel_1(p_host bigint, p_lane int, p_n bigint, p_id text, p_time bigint, p_type text, p_data text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_run runs;
    v_answer text;
    v_seq bigint;
    v_message bigint;
    v_now bigint := now_ms();
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    v_run := reached_1(p_id, true);
    v_answer := unreached_1(v_run);
    IF v_answer IS NULL AND v_run.owner IS NOT NULL THEN
        -- A paused run is resumed, to clean up.
        UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, v_now), status = 2 WHERE no = v_run.no;
        -- A repeated request is the same message, as long as that is kept. It has no note: the run's end tells of it.
        SELECT no INTO v_message FROM messages WHERE run = v_run.no AND kind = 'cancel' LIMIT 1;
        IF v_message IS NULL THEN
            INSERT INTO messages (run, owner, kind, at) VALUES (v_run.no, v_run.owner, 'cancel', p_time)
            RETURNING no INTO v_message;
        END IF;
        v_answer := message_answer_1('owner', v_run.no, v_message);
    ELSIF v_answer IS NULL THEN
        v_seq := note_1(v_run.no, v_run.attempt, p_time, p_type, p_data);
        UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, v_now), status = 6, finished_at = v_now,
            last_seq = v_seq, waits_for = NULL
        WHERE no = v_run.no;
        DELETE FROM checkpoints WHERE run = v_run.no;
        DELETE FROM signals WHERE run = v_run.no;
        DELETE FROM clients WHERE run = v_run.no;
        IF v_run.status = 0 THEN
            PERFORM left_queue_1(p_host, p_lane, v_run.task, v_run.waits_for, v_run.locks);
        END IF;
        v_answer := message_answer_1('cancelled', v_run.no, 0);
    END IF;
    RETURN answer_1(p_host, p_lane, v_answer);
END $$;

-- Stores a signal until the run takes it, if fewer than `p_most` wait.
CREATE FUNCTION signal_1(p_host bigint, p_lane int, p_n bigint, p_id text, p_name text, p_payload text, p_most bigint,
    p_time bigint, p_type text, p_data text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_run runs;
    v_answer text;
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    v_run := reached_1(p_id, false);
    v_answer := unreached_1(v_run);
    IF v_answer IS NULL AND (SELECT count(*) FROM signals WHERE run = v_run.no) >= p_most THEN
        v_answer := message_answer_1('limit', v_run.no, 0);
    END IF;
    IF v_answer IS NULL THEN
        INSERT INTO signals (run, name, payload) VALUES (v_run.no, p_name, p_payload);
        v_answer := tell_1(v_run, 'signal', p_name, NULL, p_time, p_type, p_data);
    END IF;
    RETURN answer_1(p_host, p_lane, v_answer);
END $$;

-- Takes the oldest pending signal of a run; with a name, the oldest of that name. The gate is the lock: only the owner takes
-- signals of the run. The answer is JSON: {"fenced": …, "name": …, "payload": …}. The payload is a string in it, so that it
-- comes back as it was sent.
CREATE FUNCTION take_signal_1(p_host bigint, p_lane int, p_n bigint, p_run bigint, p_fence int, p_name text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_taken signals;
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    PERFORM 1 FROM runs WHERE no = p_run AND owner = p_host AND fence = p_fence;
    IF NOT FOUND THEN RETURN answer_1(p_host, p_lane, '{"fenced":true}'); END IF;
    DELETE FROM signals WHERE no = (
        SELECT no FROM signals WHERE run = p_run AND (p_name IS NULL OR name = p_name) ORDER BY no LIMIT 1
    ) RETURNING * INTO v_taken;
    RETURN answer_1(p_host, p_lane,
        json_build_object('fenced', false, 'name', v_taken.name, 'payload', v_taken.payload)::text);
END $$;

-- Sets or replaces a parameter, if the run has fewer than `p_most` others.
CREATE FUNCTION set_parameter_1(p_host bigint, p_lane int, p_n bigint, p_id text, p_name text, p_value text, p_most bigint,
    p_time bigint, p_type text, p_data text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_run runs;
    v_answer text;
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    v_run := reached_1(p_id, false);
    v_answer := unreached_1(v_run);
    IF v_answer IS NULL AND (SELECT count(*) FROM parameters WHERE run = v_run.no AND name <> p_name) >= p_most THEN
        v_answer := message_answer_1('limit', v_run.no, 0);
    END IF;
    IF v_answer IS NULL THEN
        INSERT INTO parameters (run, name, value) VALUES (v_run.no, p_name, p_value)
        ON CONFLICT (run, name) DO UPDATE SET value = EXCLUDED.value;
        v_answer := tell_1(v_run, 'parameter', p_name, p_value, p_time, p_type, p_data);
    END IF;
    RETURN answer_1(p_host, p_lane, v_answer);
END $$;

-- Logs a message that was sent while the run had an owner, if it has none any more.
CREATE FUNCTION log_message_1(p_host bigint, p_lane int, p_n bigint, p_id text, p_time bigint, p_type text, p_data text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_run runs;
    v_answer text;
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    v_run := reached_1(p_id, false);
    v_answer := unreached_1(v_run);
    IF v_answer IS NULL AND v_run.owner IS NOT NULL THEN
        v_answer := message_answer_1('owner', v_run.no, 0);
    ELSIF v_answer IS NULL THEN
        PERFORM note_1(v_run.no, v_run.attempt, p_time, p_type, p_data);
        v_answer := message_answer_1('kept', v_run.no, 0);
    END IF;
    RETURN answer_1(p_host, p_lane, v_answer);
END $$;
