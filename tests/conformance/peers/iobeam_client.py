"""The iobeam client for Python, unmodified: ``iobeam_client.py SCENE BASE PROJECT TOKEN [WORD …]``.

A scene says what the client returned and raised; ``requests`` is what it asked and what it was answered.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from iobeam import iobeam
from iobeam.endpoints import devices, imports, tokens
from iobeam.http import request
from iobeam.resources import data

scene, base, number, token, *words = sys.argv[1:]
project = int(number)
T0 = 1_450_000_000_000_000  # microseconds

SECONDS, MICROSECONDS = iobeam.TimeUnit.SECONDS, iobeam.TimeUnit.MICROSECONDS


class Requests(logging.Handler):
    """Hears what urllib3 says of each request."""

    def __init__(self):
        super().__init__()
        self.heard = []

    def emit(self, record):
        if len(record.args) == 8:
            _, _, _, method, path, _, status, _ = record.args
            self.heard.append([method, path, status])


def builder(with_token=token):
    return iobeam.ClientBuilder(project, with_token).setBackend(base)


def attempt(act, *arguments):
    try:
        return act(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def device_of(one):
    return attempt(lambda: one.build().getDeviceId())


def register():
    folder = Path(words[0])
    saved = folder / "iobeam_device_id"
    own = device_of(builder().saveToDisk(words[0]).registerDevice(deviceId="pump-3"))
    on_disk = saved.read_text()
    again = device_of(builder().saveToDisk(words[0]).registerDevice())
    replaced = device_of(builder().saveToDisk(words[0]).registerDevice(deviceId="pump-4", deviceName="Pump"))
    return {
        "own": own,
        "on disk": on_disk,
        "again": again,
        "replaced": replaced,
        "then on disk": saved.read_text(),
        "generated": device_of(builder().registerDevice()),
        "only a name": device_of(builder().registerDevice(deviceName="Well")),
        "duplicate": device_of(builder().registerDevice(deviceId="pump-3")),
        "or set": device_of(builder().registerOrSetId("pump-3")),
        "or set, new": device_of(builder().registerOrSetId("pump-5")),
        "name taken": device_of(builder().registerDevice(deviceId="pump-6", deviceName="Pump")),
        "name taken, or set": device_of(builder().registerOrSetId("pump-6", deviceName="Pump")),
        "is a name": devices.DeviceService(token, requester=request.getRequester(base))
        .registerDevice(project, deviceId="pump-7")
        .deviceName,
    }


def refused():
    unknown, read_only, other = words
    wrong = builder(unknown)
    return {
        "bad token": device_of(wrong.registerDevice(deviceId="pump-3")),
        "read only": device_of(builder(read_only).registerDevice(deviceId="pump-3")),
        "project of another": device_of(builder(other).registerDevice(deviceId="pump-3")),
        "unregistered": attempt(sent, "nobody"),
        "bad name": attempt(sent, "nobody", "n" * 300),
        "query": iobeam.makeQuery(unknown, iobeam.QueryReq(project), backend=base),
        "clock": devices.DeviceService(unknown, requester=request.getRequester(base)).getTimestamp(),
    }


def sent(device, column="flow"):
    client = builder().setDeviceId(device).build()
    client.createDataStore([column]).add(1, {column: 1})
    return client.send()


def send():
    client = builder().registerDevice(deviceId="pump-3").build()
    store = client.createDataStore(["flow", "rpm", "state", "on", "a name: µ/%"])
    store.add(iobeam.Timestamp(T0 + 123, MICROSECONDS), {"flow": 4.5, "rpm": 900})
    store.add(iobeam.Timestamp(1_450_000_001, SECONDS), {"rpm": -0.0, "state": "idle"})
    store.add(iobeam.Timestamp(1_450_000_002_000), {"on": True, "state": ""})
    store.add(1_450_000_003_000, {"flow": 0, "on": False, "a name: µ/%": 1e-7})
    store.add(iobeam.Timestamp(1), {"flow": 12345678901234567890})
    returned = client.send()
    return {"returned": returned, "left": len(store)}


def split():
    client = builder().registerDevice(deviceId="gyroscope").build()
    store = client.createDataStore(["x", "y", "z"])
    for row in range(667):
        store.add(iobeam.Timestamp(T0 + row, MICROSECONDS), {"x": row, "y": -row, "z": 0})
    client.send()
    full = client.createDataStore(["full"])
    for row in range(1000):
        full.add(iobeam.Timestamp(T0 + row, MICROSECONDS), {"full": row})
    client.send()
    return {}


def older():
    client = builder().registerDevice(deviceId="old").build()
    client.addDataPoint("level", iobeam.DataPoint(7, 1_450_000_000_000))
    client.addDataPoint("level", iobeam.DataPoint(8, iobeam.Timestamp(1_450_000_001, SECONDS)))
    client.addDataPoint("gone", iobeam.DataPoint(1, 1_450_000_000_000))
    client.clearSeries("gone")
    client.addDataSeries(data.makeUniformDataSeries("even", 1_450_000_000_000, 1_450_000_000_100, [1, 2, 3]))
    client.send()
    # One series of 1001 points and one of 1: more than fits one request of the form with series.
    low = imports.ImportService(token, requester=request.getRequester(base))
    points = {iobeam.DataPoint(number, iobeam.Timestamp(T0 + number, MICROSECONDS)) for number in range(1001)}
    one = [iobeam.DataPoint(2.5, 1_450_000_000_000)]
    return {"low level": low.importData(project, "old", {"many": points, "one": one})}


def query():
    at = {
        "ms": lambda **more: iobeam.QueryReq(project, "meter", "power", **more),
        "s": lambda: iobeam.QueryReq(project, "meter", "power", timeUnit=SECONDS),
        "us": lambda: iobeam.QueryReq(project, "meter", "power", timeUnit=MICROSECONDS),
    }
    for device in ("meter", "other"):
        builder().registerDevice(deviceId=device).build()
    client = builder().setDeviceId("meter").build()
    store = client.createDataStore(["power", "phase"])
    for second in range(10):
        store.add(iobeam.Timestamp(T0 + second * 1_000_000 + 1500, MICROSECONDS), {"power": second * 10})
    store.add(iobeam.Timestamp(T0, MICROSECONDS), {"phase": "L1"})
    client.send()
    other = builder().setDeviceId("other").build()
    other.createDataStore(["power"]).add(iobeam.Timestamp(T0, MICROSECONDS), {"power": 1.5})
    other.send()

    def ask(wanted):
        return iobeam.makeQuery(token, wanted, backend=base)

    return {
        "one series": ask(at["ms"]()),
        "whole device": ask(iobeam.QueryReq(project, "meter")),
        "whole project": ask(iobeam.QueryReq(project)),
        "one series of all": ask(iobeam.QueryReq(project, None, "power")),
        "limit": ask(at["ms"]().limit(3)),
        "in s": ask(at["s"]()),
        "in us": ask(at["us"]()),
        "range in ms": ask(at["ms"]().inTimeRange(1_450_000_002_000, 1_450_000_004_001)),
        "range in s": ask(at["s"]().inTimeRange(1_450_000_002, 1_450_000_005)),
        "range in us": ask(at["us"]().inTimeRange(T0 + 2_001_500, T0 + 4_001_500)),
        "from": ask(at["ms"]().fromTime(1_450_000_008_000)),
        "to": ask(at["ms"]().toTime(1_450_000_001_001)),
        "greater than": ask(at["ms"]().greaterThan(70)),
        "less than": ask(at["ms"]().lessThan(20)),
        "between": ask(at["ms"]().inValueRange(20, 50)),
        "equals": ask(at["ms"]().equals(40)),
        "no such device": ask(iobeam.QueryReq(project, "nobody")),
        "no such series": ask(iobeam.QueryReq(project, "meter", "nothing")),
    }


def refresh():
    # The token of this scene expires within a day, so the client refreshes it at once.
    client = builder().registerDevice(deviceId="sleeper").build()
    client.createDataStore(["flow"]).add(1, {"flow": 1})
    client.send()
    later = builder(client.projectToken).setDeviceId("sleeper").build()
    later.createDataStore(["flow"]).add(2, {"flow": 2})
    later.send()
    unknown = device_of(builder(words[0]).registerDevice())
    return {
        "new": client.projectToken != token,
        "again": later.projectToken != client.projectToken,
        "unknown": unknown,
    }


def fetch():
    # The token of this scene is a user's.
    everything = {"read": True, "write": True, "admin": False, "refreshable": True}
    fetched = iobeam._Client.fetchToken(token, project, duration="5w", options=everything, backend=base)
    registered = device_of(builder(fetched).registerDevice(deviceId="mine"))
    of_device = iobeam._Client.fetchToken(token, project, None, {**everything, "device_id": "mine"}, base)
    by_helper = iobeam.fetchDeviceToken(token, project, "mine", "2d", everything, base)
    mine, not_mine = builder(of_device), builder(of_device)
    return {
        "registered": registered,
        "mine": device_of(mine.registerOrSetId("mine")),
        "of another": device_of(not_mine.registerDevice(deviceId="third")),
        "by the helper": by_helper.count("."),
        "no such project": attempt(iobeam._Client.fetchToken, token, 999_999, None, None, base),
        "not a user's": attempt(iobeam._Client.fetchToken, fetched, project, None, None, base),
        "refreshed": tokens.TokenService(requester=request.getRequester(base)).refreshToken(fetched)
        != fetched,
        "clock": devices.DeviceService(fetched, requester=request.getRequester(base)).getTimestamp(),
    }


watching = Requests()
logging.getLogger("urllib3.connectionpool").addHandler(watching)
logging.getLogger("urllib3.connectionpool").setLevel(logging.DEBUG)
told = {
    function.__name__: function for function in (register, refused, send, split, older, query, refresh, fetch)
}[scene]()
sys.stdout.write("\n" + json.dumps({**told, "requests": watching.heard}))
