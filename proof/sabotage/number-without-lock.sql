-- Numbers of runs become visible out of their order. The pause stands for a commit that takes its time.
CREATE OR REPLACE FUNCTION number_lock_1() RETURNS void LANGUAGE sql AS $$ SELECT $$;
DO $$
DECLARE v_text text;
BEGIN
    v_text := pg_get_functiondef('submit_1'::regproc);
    v_text := replace(v_text, 'PERFORM count_all_queued_1(p_host, p_lane, v_tasks, v_new_ready, v_new_blocked);
    RETURN answer_1', 'PERFORM count_all_queued_1(p_host, p_lane, v_tasks, v_new_ready, v_new_blocked);
    PERFORM pg_sleep(random() * 0.8);
    RETURN answer_1');
    IF v_text NOT LIKE '%pg_sleep%' THEN RAISE EXCEPTION 'submit_1 has changed'; END IF;
    EXECUTE v_text;
END $$;
