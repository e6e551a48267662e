-- A message to the owner of a run is kept twice.
DO $$
DECLARE v_text text;
BEGIN
    v_text := pg_get_functiondef('tell_1'::regproc);
    v_text := replace(v_text, 'INSERT INTO messages', 'INSERT INTO messages (run, owner, kind, name, value, type, data, at)
    VALUES (p_run.no, p_run.owner, p_kind, p_name, p_value, p_type, p_data, p_time);
    INSERT INTO messages');
    EXECUTE v_text;
END $$;
