curl http://localhost:8000/sessions/session-id/streaming-status
