-- Removal of ended runs. Each function is called by a statement that has passed the gate (gate_1).

-- Removes the oldest events of a run below the id `until`, at most `rows` and about `most` bytes of data, but at least one
-- if `rows` allows it. Whether those were all is `complete`.
CREATE FUNCTION remove_events_1(run bigint, until bigint, rows bigint, most bigint, OUT events bigint, OUT bytes bigint, OUT complete boolean)
LANGUAGE plpgsql AS $$
DECLARE
    last  bigint;
    found bigint;
BEGIN
    SELECT count(*), count(*) FILTER (WHERE goes), coalesce(sum(size) FILTER (WHERE goes), 0), max(id) FILTER (WHERE goes)
        INTO found, remove_events_1.events, remove_events_1.bytes, last
        FROM (SELECT id, size, nth <= rows AND (nth = 1 OR total - size < most) AS goes
              FROM (SELECT e.id, coalesce(octet_length(e.data), octet_length(e.bytes), 0) AS size,
                           row_number() OVER sofar AS nth,
                           sum(coalesce(octet_length(e.data), octet_length(e.bytes), 0)) OVER sofar AS total
                    FROM events e WHERE e.id >= run << 32 AND e.id < until
                    WINDOW sofar AS (ORDER BY e.id ROWS UNBOUNDED PRECEDING)
                    ORDER BY e.id LIMIT rows + 1) AS sized) AS oldest;
    IF last IS NOT NULL THEN
        DELETE FROM events e WHERE e.id >= run << 32 AND e.id <= last;
    END IF;
    complete := found = remove_events_1.events;
END $$;

-- The seq of a run's terminal event, if the run (or only its events) may be removed now; else NULL. A run whose parent has
-- not ended stays: the parent may still ask for its outcome, which is in its row.
CREATE FUNCTION removable_1(run bigint, whole boolean) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT runs.last_seq FROM runs WHERE runs.no = run AND runs.finished_at IS NOT NULL
        AND NOT (whole AND EXISTS (SELECT 1 FROM runs p WHERE p.no = runs.parent AND p.finished_at IS NULL))
$$;

-- Bytes of a run besides its events.
CREATE FUNCTION bytes_of_run_1(run bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT octet_length(d.input) + coalesce(octet_length(d.final_value), 0) + coalesce(octet_length(d.error), 0)
           + coalesce(octet_length(d.error_more), 0) + coalesce(octet_length(runs.labels), 0)::bigint
    FROM runs JOIN run_data d ON d.run = runs.no WHERE runs.no = bytes_of_run_1.run
$$;

-- One step of removing runs, or of their events: at most `rows` events, of which each run counts as `run_cost`, and about
-- `most` bytes. The answer is JSON: {"runs": …, "events": …, "bytes": …, "done": how many of the runs need no further step}.
CREATE FUNCTION prune_1(numbers bigint[], whole boolean, rows bigint, run_cost bigint, most bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    run    bigint;
    last   bigint;
    part   record;
    gone   bigint;
    size   bigint;
    runs_  bigint := 0;
    events_ bigint := 0;
    bytes_ bigint := 0;
    done   int := 0;
    room   bigint := rows;
BEGIN
    FOREACH run IN ARRAY numbers LOOP
        -- Decided here, in the transaction that removes it. An ended run never changes, so no lock is needed.
        last := removable_1(run, whole);
        IF last IS NOT NULL THEN
            EXIT WHEN room < run_cost;
            -- The terminal event goes with the run; until then, a reader finds the end.
            part := remove_events_1(run, run << 32 | last, room - run_cost, greatest(most - bytes_, 0));
            events_ := events_ + part.events;
            bytes_ := bytes_ + part.bytes;
            room := room - run_cost - part.events;
            EXIT WHEN NOT part.complete;
            IF whole THEN
                size := bytes_of_run_1(run);
                DELETE FROM runs WHERE runs.no = run;
                -- Another host may have removed it meanwhile.
                IF FOUND THEN
                    WITH removed AS (DELETE FROM events e WHERE e.id >= run << 32 AND e.id < (run + 1) << 32
                                     RETURNING coalesce(octet_length(e.data), octet_length(e.bytes), 0) AS size)
                        SELECT count(*), coalesce(sum(removed.size), 0) + coalesce(size, 0) INTO gone, size FROM removed;
                    DELETE FROM run_data d WHERE d.run = prune_1.run;
                    runs_ := runs_ + 1;
                    events_ := events_ + gone;
                    bytes_ := bytes_ + size;
                END IF;
            END IF;
        END IF;
        done := done + 1;
    END LOOP;
    RETURN json_build_object('runs', runs_, 'events', events_, 'bytes', bytes_, 'done', done)::text;
END $$;
