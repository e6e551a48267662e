import json
import websockets

async with websockets.connect('ws://localhost:8000/ws/stream') as websocket:
    async for message in websocket:
        item = json.loads(message)
        if 'progress' in item:
            print(f"{item['id']}: {item['message']} ({item['progress']} %)")
