import aiohttp
import json

async with aiohttp.ClientSession() as session:
    async with session.get('/sessions/session-id/stream') as response:
        async for line in response.content:
            line = line.decode('utf-8').strip()
            if line.startswith('data: '):
                data = json.loads(line[6:])
                print(f"Received: {data}")
