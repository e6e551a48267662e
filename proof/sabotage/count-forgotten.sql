-- The numbers of queued runs that a dead host has counted are dropped with it.
DO $$
DECLARE v_text text;
BEGIN
    v_text := pg_get_functiondef('bury_1'::regproc);
    v_text := replace(v_text, 'sum(ready), sum(blocked) FROM', '0, 0 FROM');
    EXECUTE v_text;
END $$;
