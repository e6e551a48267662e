-- Nobody takes the runs of a dead host.
CREATE OR REPLACE FUNCTION claim_orphans_1(p_host bigint, p_lane int, p_n bigint, p_limit int) RETURNS text LANGUAGE plpgsql
AS $$
BEGIN
    IF NOT gate_1(p_host, p_lane, p_n) THEN RETURN NULL; END IF;
    RETURN answer_1(p_host, p_lane, '[]');
END $$;
