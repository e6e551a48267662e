-- What a message says is forgotten when its run loses its owner.
CREATE OR REPLACE FUNCTION note_messages_1(p_run bigint, p_seq bigint, p_attempt int) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM messages WHERE run = p_run;
    RETURN '[]';
END $$;
