curl -N -H "Accept: text/event-stream" \
  "http://localhost:8000/sessions/session-id/stream?client_id=curl-client"
