-- A lock is given back twice at the end of a run.
DO $$
DECLARE v_text text;
BEGIN
    v_text := pg_get_functiondef('release_locks_1'::regproc);
    v_text := replace(v_text, 'greatest(used - 1, 0)', 'greatest(used - 2, 0)');
    IF v_text NOT LIKE '%used - 2%' THEN RAISE EXCEPTION 'release_locks_1 has changed'; END IF;
    EXECUTE v_text;
END $$;
