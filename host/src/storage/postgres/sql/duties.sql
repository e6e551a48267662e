-- What hosts do for all, and what they have: schedules, duties, offers, clients.

-- Stores the progress of a schedule if the stored progress is what the host has seen (`p_spec` NULL: none). The answer is
-- whether it was.
CREATE FUNCTION advance_schedule_1(p_host bigint, p_lane int, p_n bigint, p_task int, p_name text,
    p_spec text, p_reached bigint, p_turn bigint, p_to_spec text, p_to_reached bigint, p_to_turn bigint)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    IF p_spec IS NULL THEN
        INSERT INTO schedules (task, name, spec, reached, turn)
        VALUES (p_task, p_name, p_to_spec, p_to_reached, p_to_turn) ON CONFLICT DO NOTHING;
    ELSE
        UPDATE schedules SET spec = p_to_spec, reached = p_to_reached, turn = p_to_turn
        WHERE task = p_task AND name = p_name AND spec = p_spec AND reached = p_reached AND turn = p_turn;
    END IF;
    RETURN answer_1(p_host, p_lane, FOUND::text);
END $$;

CREATE FUNCTION forget_schedule_1(p_host bigint, p_lane int, p_n bigint, p_task int, p_name text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    DELETE FROM schedules WHERE task = p_task AND name = p_name;
    RETURN '';
END $$;

-- Takes a duty, or keeps it. The answer is whether the host has it: false if another live host has.
CREATE FUNCTION hold_duty_1(p_host bigint, p_lane int, p_n bigint, p_duty text, p_ms bigint) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    INSERT INTO duties (name, owner, until) VALUES (p_duty, p_host, now_ms() + p_ms)
    ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, until = EXCLUDED.until
        WHERE duties.owner = EXCLUDED.owner OR duties.until <= now_ms()
            OR NOT EXISTS (SELECT 1 FROM hosts WHERE no = duties.owner AND dead_at IS NULL);
    RETURN answer_1(p_host, p_lane, FOUND::text);
END $$;

-- Stores what a host has loaded, in place of what it had before. Tasks and versions that have no number get one.
CREATE FUNCTION offer_1(p_host bigint, p_lane int, p_n bigint, p_apps text[], p_tasks text[], p_versions text[]) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    -- In one order, so that two hosts that make the same rows don't wait for each other.
    INSERT INTO tasks (app, task)
    SELECT app, task FROM unnest(p_apps, p_tasks) AS given (app, task)
    WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.app = given.app AND tasks.task = given.task)
    ORDER BY app, task ON CONFLICT DO NOTHING;
    INSERT INTO versions (sha256)
    SELECT sha256 FROM unnest(p_versions) AS given (sha256)
    WHERE NOT EXISTS (SELECT 1 FROM versions WHERE versions.sha256 = given.sha256)
    ORDER BY sha256 ON CONFLICT DO NOTHING;
    DELETE FROM offers WHERE host = p_host;
    INSERT INTO offers (host, task, version)
    SELECT p_host, tasks.no, versions.no FROM unnest(p_apps, p_tasks, p_versions) AS given (app, task, sha256)
    JOIN tasks ON tasks.app = given.app AND tasks.task = given.task
    JOIN versions ON versions.sha256 = given.sha256 ON CONFLICT DO NOTHING;
    RETURN '';
END $$;

-- Stores how many clients of a run are connected to the host. An ended run has none.
CREATE FUNCTION set_clients_1(p_host bigint, p_lane int, p_n bigint, p_run bigint, p_clients int) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    IF EXISTS (SELECT 1 FROM runs WHERE no = p_run AND finished_at IS NULL) THEN
        INSERT INTO clients (run, host, clients, left_at)
        VALUES (p_run, p_host, p_clients, CASE WHEN p_clients = 0 THEN now_ms() END)
        ON CONFLICT (run, host) DO UPDATE
            -- A repeated report does not put off the moment at which the last one left.
            SET clients = EXCLUDED.clients, left_at = CASE WHEN p_clients = 0 THEN coalesce(clients.left_at, EXCLUDED.left_at) END;
    ELSE
        DELETE FROM clients WHERE run = p_run;
    END IF;
    RETURN '';
END $$;
