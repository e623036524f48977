"""The socket API with somebody else's WebSockets: ``socket_client.py URL KEY FEED``."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import websockets

url, key, feed = sys.argv[1:]
resource = f"/feeds/{feed}/datastreams/pump"
headers = {"X-ApiKey": key}


def ask(method: str, **members: Any) -> dict[str, Any]:
    return {"headers": headers, "method": method, "resource": resource, **members}


async def talk() -> dict[str, Any]:
    said: dict[str, Any] = {}
    async with websockets.connect(url) as socket:
        said["extensions"] = [extension.name for extension in socket.protocol.extensions]
        await socket.send(json.dumps(ask("subscribe")))  # with blanks and without a token, as xively-js
        said["subscribed"] = json.loads(await socket.recv())
        await socket.send(json.dumps(ask("put", token="t-1", body={"current_value": "on"}), indent=2))
        said["written"] = json.loads(await socket.recv())
        said["pushed"] = json.loads(await socket.recv())
        text = json.dumps(ask("get", token="t-2"))
        await socket.send([text[:10], text[10:40], text[40:]])  # one message in three frames
        said["read"] = json.loads(await socket.recv())
        await socket.send("{no JSON")
        said["broken"] = json.loads(await socket.recv())
        await socket.send(json.dumps(ask("unsubscribe", token="fresh")))
        said["unsubscribed"] = json.loads(await socket.recv())
        await asyncio.wait_for(await socket.ping(), 10)
    said["close code"] = socket.close_code
    return said


sys.stdout.write(json.dumps(asyncio.run(talk())))
