-- Messages to runs: pause, resume, cancel, signals, parameters.
--
-- Each of these functions is called by a statement that has passed the gate (gate_1). The answer is JSON:
-- {"outcome": …, "run": number of the run, "message": number of the message}. "outcome" is "none" (there is no such run),
-- "ended" (it had ended before), "unchanged", "kept" (it has no owner; the note is in the log), "owner" (it has one, for
-- which the message is kept), "cancelled" (it has ended now) or "limit".

-- The run, locked, and all NULL if there is none. With locks: those of the run are locked before it, because a run that
-- leaves the queue, or changes its place in it, may let others pass. Its locks never change, so they can be read before.
CREATE FUNCTION reached_1(id text, with_locks boolean) RETURNS runs LANGUAGE plpgsql AS $$
DECLARE
    names text[];
    run   runs;
BEGIN
    IF with_locks THEN
        SELECT runs.locks INTO names FROM runs WHERE runs.id = reached_1.id AND runs.status < 4;
        IF names IS NOT NULL THEN
            PERFORM lock_names_1(names);
        END IF;
    END IF;
    SELECT * INTO run FROM runs WHERE runs.id = reached_1.id FOR NO KEY UPDATE;
    RETURN run;
END $$;

-- Appends an event to the log of a run without an owner, which is locked. Returns its seq.
CREATE FUNCTION note_1(run bigint, attempt int, at bigint, type text, data text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    SELECT max(events.id) INTO last FROM events WHERE events.id > run << 32 AND events.id < (run + 1) << 32;
    last := coalesce(last, run << 32) + 1;
    INSERT INTO events (id, attempt, time, type, data) VALUES (last, attempt, at, type, data);
    RETURN last & 4294967295;
END $$;

CREATE FUNCTION message_answer_1(outcome text, run bigint, message bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT json_build_object('outcome', outcome, 'run', run, 'message', message)::text $$;

-- Notes a message, if the run has no owner, or keeps it for the owner. The run is locked, so messages to it are numbered
-- and become visible in one order.
CREATE FUNCTION tell_1(run runs, kind smallint, name text, value text, at bigint, type text, data text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    message bigint;
BEGIN
    IF run.owner IS NULL THEN
        PERFORM note_1(run.no, run.attempt, at, type, data);
        RETURN message_answer_1('kept', run.no, 0);
    END IF;
    INSERT INTO messages (run, owner, kind, name, value, type, data, at)
        VALUES (run.no, run.owner, kind, name, value, type, data, at) RETURNING messages.no INTO message;
    RETURN message_answer_1('owner', run.no, message);
END $$;

-- Why a run receives no message: NULL if it does.
CREATE FUNCTION unreached_1(run runs) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN (run).no IS NULL THEN message_answer_1('none', 0, 0)
                WHEN (run).status >= 4 THEN message_answer_1('ended', (run).no, 0) END
$$;

-- Pauses a run, or resumes it.
CREATE FUNCTION set_paused_1(h bigint, l smallint, id text, paused boolean, at bigint, type text, data text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    run  runs := reached_1(id, true);
    next smallint;
BEGIN
    IF unreached_1(run) IS NOT NULL THEN
        RETURN unreached_1(run);
    END IF;
    IF paused = (run.status = 3) THEN
        RETURN message_answer_1('unchanged', run.no, 0);
    END IF;
    next := CASE WHEN paused THEN 3 WHEN run.owner IS NOT NULL THEN 2 WHEN run.not_before > now_ms() THEN 1 ELSE 0 END;
    -- A paused run waits for no lock. When it is resumed, its locks are looked at again.
    UPDATE runs SET status = next, waits_for = NULL WHERE runs.no = run.no;
    IF run.status = 0 THEN
        PERFORM left_queue_1(h, l, run);
    ELSIF next = 0 THEN
        PERFORM count_queued_1(h, l, run.task, 1, 0);
    END IF;
    RETURN tell_1(run, CASE WHEN paused THEN 1 ELSE 2 END::smallint, NULL, NULL, at, type, data);
END $$;

-- Ends a run without an owner as cancelled, or records the request for the owner. type and data are those of the terminal
-- event.
CREATE FUNCTION cancel_1(h bigint, l smallint, id text, at bigint, type text, data text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    run     runs := reached_1(id, true);
    now     bigint := now_ms();
    last    bigint;
    message bigint;
BEGIN
    IF unreached_1(run) IS NOT NULL THEN
        RETURN unreached_1(run);
    END IF;
    IF run.owner IS NOT NULL THEN
        -- A paused run is resumed, to clean up.
        UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, now), status = 2 WHERE runs.no = run.no;
        -- A repeated request is the same message, as long as that is kept.
        SELECT messages.no INTO message FROM messages WHERE messages.run = run.no AND messages.kind = 0 LIMIT 1;
        IF message IS NULL THEN
            INSERT INTO messages (run, owner, kind, type, data, at) VALUES (run.no, run.owner, 0, '', '', at)
                RETURNING messages.no INTO message;
        END IF;
        RETURN message_answer_1('owner', run.no, message);
    END IF;
    last := note_1(run.no, run.attempt, at, type, data);
    UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, now), status = 6, finished_at = now,
                    last_seq = last, waits_for = NULL
        WHERE runs.no = run.no;
    DELETE FROM checkpoints WHERE checkpoints.run = run.no;
    DELETE FROM signals WHERE signals.run = run.no;
    DELETE FROM seats WHERE seats.run = run.no;
    IF run.status = 0 THEN
        PERFORM left_queue_1(h, l, run);
    END IF;
    RETURN message_answer_1('cancelled', run.no, 0);
END $$;

-- Stores a signal until the run takes it, if fewer than `most` wait.
CREATE FUNCTION signal_1(id text, name text, payload text, most int, at bigint, type text, data text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    run   runs := reached_1(id, false);
BEGIN
    IF unreached_1(run) IS NOT NULL THEN
        RETURN unreached_1(run);
    END IF;
    IF (SELECT count(*) FROM signals WHERE signals.run = run.no) >= most THEN
        RETURN message_answer_1('limit', run.no, 0);
    END IF;
    INSERT INTO signals (run, name, payload) VALUES (run.no, signal_1.name, signal_1.payload);
    RETURN tell_1(run, 3::smallint, signal_1.name, NULL, at, type, data);
END $$;

-- Takes the oldest pending signal of a run; with a name, the oldest of that name. The gate of the owner's lane is the lock:
-- nobody else takes signals of the run. The answer is JSON, {"fenced": …, "name": …, "payload": …}; names and payloads are
-- strings, because a payload has to come back byte by byte.
CREATE FUNCTION take_signal_1(run bigint, owner bigint, fence int, name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    taken signals;
BEGIN
    PERFORM 1 FROM runs
        WHERE runs.no = take_signal_1.run AND runs.owner = take_signal_1.owner AND runs.fence = take_signal_1.fence;
    IF NOT FOUND THEN
        RETURN '{"fenced":true}';
    END IF;
    DELETE FROM signals WHERE signals.no = (
        SELECT s.no FROM signals s WHERE s.run = take_signal_1.run
            AND (take_signal_1.name IS NULL OR s.name = take_signal_1.name) ORDER BY s.no LIMIT 1)
        RETURNING * INTO taken;
    RETURN json_build_object('fenced', false, 'name', taken.name, 'payload', taken.payload)::text;
END $$;

-- Sets or replaces a parameter, if the run has fewer than `most` others.
CREATE FUNCTION set_parameter_1(id text, name text, value text, most int, at bigint, type text, data text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    run runs := reached_1(id, false);
BEGIN
    IF unreached_1(run) IS NOT NULL THEN
        RETURN unreached_1(run);
    END IF;
    IF (SELECT count(*) FROM parameters p WHERE p.run = run.no AND p.name <> set_parameter_1.name) >= most THEN
        RETURN message_answer_1('limit', run.no, 0);
    END IF;
    INSERT INTO parameters (run, name, value) VALUES (run.no, set_parameter_1.name, set_parameter_1.value)
        ON CONFLICT ON CONSTRAINT parameters_pkey DO UPDATE SET value = excluded.value;
    RETURN tell_1(run, 4::smallint, set_parameter_1.name, set_parameter_1.value, at, type, data);
END $$;

-- Logs a message that was sent while the run had an owner, if it has none any more.
CREATE FUNCTION log_message_1(id text, at bigint, type text, data text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    run runs := reached_1(id, false);
BEGIN
    IF unreached_1(run) IS NOT NULL THEN
        RETURN unreached_1(run);
    END IF;
    IF run.owner IS NOT NULL THEN
        RETURN message_answer_1('owner', run.no, 0);
    END IF;
    PERFORM note_1(run.no, run.attempt, at, type, data);
    RETURN message_answer_1('kept', run.no, 0);
END $$;
