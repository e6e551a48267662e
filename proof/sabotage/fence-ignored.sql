-- A host that was declared dead writes on: the gate no longer looks at the fence, and an owner is whoever says so.
CREATE OR REPLACE FUNCTION gate_1(p_host bigint, p_lane int, p_n bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE lanes SET done = p_n, answer = NULL WHERE host = p_host AND lane = p_lane AND done = p_n - 1;
    RETURN FOUND;
END $$;
DO $$
DECLARE v_text text;
BEGIN
    v_text := pg_get_functiondef('write_log_1'::regproc);
    v_text := replace(v_text, 'AND runs.owner = p_host AND runs.fence = batch.fence', '');
    v_text := replace(v_text, 'AND owner = p_host AND fence = v_end.fence', '');
    EXECUTE v_text;
END $$;
-- Else the host hears first that it is dead, and drops its runs before it writes.
DO $$
BEGIN
    EXECUTE replace(pg_get_functiondef('renew_lease_1'::regproc), 'AND dead_at IS NULL AND', 'AND');
END $$;
