import httpx
from httpx_sse import aconnect_sse

async with httpx.AsyncClient() as client:
    async with aconnect_sse(client, 'GET',
        'http://127.0.0.1:8888/stream/app_name/MyTask/1') as events:
        async for event in events.aiter_sse():
            print(f"{event.event}: {event.data}")
