"""A Joule node in a network in memory: folders, streams and rows, answered as a real one was seen to."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
from attrs import define, field

from txbridge.joule.client import Node
from txbridge.joule.protocol import layout_dtype
from txbridge.net.http1 import Request, Response
from txbridge.net.http_server import HttpServerFactory
from txbridge.net.memory import MemoryNetwork

__all__ = ["KEY", "T0", "NodeInMemory"]

KEY = "a-key-of-this-node-that-nobody-may-see"
T0 = 1_700_000_000_000_000


@define
class _Held:
    """A stream and its rows."""

    document: dict[str, Any]
    rows: dict[int, tuple[Any, ...]] = field(factory=dict)
    breaks: set[int] = field(factory=set)  # first timestamps of intervals


class NodeInMemory:
    """A node that serves at ``http://<host>:8088``.

    Attributes:
        streams: Path -> a data stream.
        events: Path -> the document of an event stream; its events are those of `happened`.
        happened: Path of an event stream -> its events, in the order in which they start.
        refusal: What every read and write of rows is answered, if anything.
        most_read: After how many rows a read ends as if there were no more, if anything.
        looked: How many intervals were told in answer to each question for them.
        writes: How often rows were written.
        port: Where it listens.
    """

    def __init__(self, network: MemoryNetwork, host: str = "node.test") -> None:
        self.network = network
        self.url = f"http://{host}:8088"
        self.streams: dict[str, _Held] = {}
        self.events: dict[str, dict[str, Any]] = {}
        self.happened: dict[str, list[dict[str, Any]]] = {}
        self.annotations: list[dict[str, Any]] = []
        self.refusal: Response | None = None
        self.most_read: int | None = None
        self.looked: list[int] = []
        self.writes = 0
        self.port = network.listen(host, 8088, HttpServerFactory(self._respond, clock=network.clock))

    def node(self, name: str = "") -> Node:
        """A client; close it."""
        return Node(self.url, KEY, reactor=self.network.reactor)

    def add(
        self, path: str, layout: str, *runs: list[tuple[Any, ...]], names: str = "xyzw", **more: Any
    ) -> _Held:
        """Make a stream; each run of rows ``(seconds after T0, value, …)`` is an interval."""
        datatype, _, width = layout.partition("_")
        elements = [{"name": names[index], "units": "V"} for index in range(int(width))]
        held = self._make(path, {"datatype": datatype, "elements": elements, **more})
        for run in runs:
            held.breaks.add(T0 + run[0][0] * 1_000_000)
            held.rows.update((T0 + row[0] * 1_000_000, row[1:]) for row in run)
        return held

    def rows(self, path: str) -> list[tuple[Any, ...]]:
        """All rows of a stream, as seconds after T0 and values."""
        held = self.streams[path]
        return [((at - T0) / 1e6, *held.rows[at]) for at in sorted(held.rows)]

    def _make(self, path: str, document: dict[str, Any]) -> _Held:
        plain = {"plottable": True, "display_type": "CONTINUOUS", "offset": 0.0, "scale_factor": 1.0}
        plain |= {"default_min": None, "default_max": None}
        elements = [
            {**plain, **element, "id": index, "index": index}
            for index, element in enumerate(document["elements"])
        ]
        whole = {"description": "", "keep_us": -1, "decimate": True, "updated_at": None}
        whole |= dict.fromkeys(("is_configured", "is_source", "is_destination", "locked", "active"), False)
        whole |= {**document, "id": len(self.streams) + 1, "name": path.rpartition("/")[2]}
        self.streams[path] = _Held({**whole, "elements": elements})
        return self.streams[path]

    def _respond(self, request: Request) -> Response:
        query = dict(parse_qsl(request.query))
        if request.headers.get("x-api-key") != KEY:
            return _said(403, "403: Forbidden")
        line = f"{request.method} {request.path}"
        if line == "GET /version.json":
            return _gave({"version": "1.0.1", "name": "memory", "uuid": "u-1"})
        if line == "GET /dbinfo":
            return _gave({"path": "/db", "reserved": 0, "other": 10**9, "free": 2 * 10**9, "size": 5000})
        if line == "GET /folders.json":
            return _gave(self._folder(""))
        if line == "GET /folder.json":
            inside = any(path.startswith(query["path"] + "/") for path in (*self.streams, *self.events))
            return _gave(self._folder(query["path"])) if inside else _said(404, "404: folder does not exist")
        if line == "POST /stream.json":
            asked = json.loads(request.body)
            path = f"{asked['dest_path'].rstrip('/')}/{asked['stream']['name']}"
            return _gave(self._make(path, asked["stream"]).document)
        if line == "GET /event.json" and query.get("path") in self.events:
            happened = self.happened.get(query["path"], [])
            ats = [at for one in happened for at in (one["start_time"], one["end_time"])]
            info = {"start": min(ats, default=None), "end": max(ats, default=None)}
            return _gave({**self.events[query["path"]], "data_info": {**info, "event_count": len(happened)}})
        if line == "GET /event/data.json" and query.get("path") in self.events:
            found = [
                one
                for one in self.happened.get(query["path"], [])
                if int(query["start"]) <= one["start_time"] < int(query.get("end", 1 << 62))
            ]
            return _gave({"events": found[: int(query["limit"])]})
        if line == "GET /annotations.json":
            if self._known(query, "stream_") is None:
                return _said(404, "404: stream does not exist")
            return _gave(self.annotations)
        if line == "POST /annotation.json":
            asked = json.loads(request.body)
            if self._known(asked, "stream_") is None:
                return _said(404, "404: stream does not exist")
            self.annotations.append({**asked, "id": len(self.annotations) + 1, "stream_id": 1})
            return _gave(self.annotations[-1])
        return self._of_stream(line, query, request)

    def _known(self, asked: dict[str, Any], prefix: str = "") -> _Held | None:
        by_id = {str(held.document["id"]): held for held in self.streams.values()}
        path, number = asked.get(f"{prefix}path", ""), asked.get(f"{prefix}id", "")
        return self.streams.get(path) or by_id.get(str(number))

    def _of_stream(self, line: str, query: dict[str, str], request: Request) -> Response:
        held = self._known(query)
        if held is None:
            return _said(404, "404: stream does not exist")
        ats = sorted(held.rows)
        if line == "GET /stream.json":
            info = {"start": ats[0] if ats else None, "end": ats[-1] if ats else None, "rows": len(ats)}
            return _gave({**held.document, "data_info": {**info, "bytes": 64 * len(ats), "total_time": 0}})
        if self.refusal is not None and request.path == "/data":
            return self.refusal
        start, end = int(query.get("start", -(1 << 62))), int(query.get("end", 1 << 62))
        ats = [at for at in ats if start <= at < end]
        if line == "GET /data/intervals.json":
            runs = self._runs(held, ats)
            self.looked.append(len(runs))
            return _gave([[run[0], run[-1] + 1] for run in runs])
        if line == "GET /data":
            return self._read(held, ats, query)
        if line == "POST /data":
            return self._write(held, request.body, int(query["merge-gap"]))
        return _said(404, "404: Not Found")

    def _runs(self, held: _Held, ats: list[int]) -> list[list[int]]:
        runs: list[list[int]] = []
        for at in ats:
            if not runs or at in held.breaks:
                runs.append([])
            runs[-1].append(at)
        return runs

    def _read(self, held: _Held, ats: list[int], query: dict[str, str]) -> Response:
        if "subscribe" in query:
            return _said(400, "400: stream is not being produced")
        layout = f"{held.document['datatype']}_{len(held.document['elements'])}"
        level = 1
        if len(ats) > int(query.get("max-rows", 1 << 62)):
            layout, level, ats = f"float32_{3 * len(held.document['elements'])}", 4, []
        dtype = layout_dtype(layout)
        token = bytes(dtype.itemsize)
        runs = [
            np.array([(at, held.rows[at]) for at in run], dtype).tobytes()
            for run in self._runs(held, ats[: self.most_read])
        ]
        headers = (("joule-layout", layout), ("joule-decimation", str(level)))
        return Response(200, headers, token.join(runs))

    def _write(self, held: _Held, body: bytes, merge_gap: int) -> Response:
        self.writes += 1
        dtype = layout_dtype(f"{held.document['datatype']}_{len(held.document['elements'])}")
        is_first = True
        for at, values in np.frombuffer(body, dtype).tolist():
            if at == 0:
                is_first, merge_gap = True, 0
                continue
            if at in held.rows:
                return _said(400, '400: duplicate key value violates unique constraint "k"')
            if is_first and not any(at - merge_gap <= before < at for before in held.rows):
                held.breaks.add(at)
            held.rows[at] = tuple(values)
            is_first = False
        return _said(200, "ok")

    def _folder(self, path: str) -> dict[str, Any]:
        below = {
            one: one.removeprefix(path + "/")
            for one in (*self.streams, *self.events)
            if one.startswith(path + "/")
        }
        children = sorted({rest.partition("/")[0] for rest in below.values() if "/" in rest})
        here = [one for one, rest in below.items() if "/" not in rest]
        return {
            "name": path.rpartition("/")[2] or "root",
            "id": len(path) + 1,
            "description": None,
            "locked": False,
            "updated_at": None,
            "children": [self._folder(f"{path}/{name}") for name in children],
            "streams": [self.streams[one].document for one in here if one in self.streams],
            "event_streams": [self.events[one] for one in here if one in self.events],
        }  # fmt: skip


def _said(status: int, text: str) -> Response:
    return Response(status, (("Content-Type", "text/plain"),), text.encode())


def _gave(document: Any) -> Response:
    return Response(200, (("Content-Type", "application/json"),), json.dumps(document).encode())
