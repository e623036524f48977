"""A program that was written for iobeam's own package finds its names here."""

from __future__ import annotations

import time

from tests.support.hub_in_memory import HubInMemory
from tests.support.iobeam_project import token_of_project
from txbridge import iobeam as package
from txbridge.iobeam import iobeam

SEED = "ClientBuilder DataStore DataPoint DataSeries Timestamp TimeUnit QueryReq makeQuery".split()


def test_both_ways_to_import_it_have_the_names_of_iobeams_own_package():
    assert [name for name in SEED if getattr(package, name) is not getattr(iobeam, name)] == []


def test_the_example_of_iobeams_own_readme_works_with_an_await(tmp_path):
    with HubInMemory(tmp_path) as hub:
        token = token_of_project(hub, 7)

        async def main():
            builder = (
                iobeam.ClientBuilder(7, token, reactor=hub.network.reactor)
                .setBackend(hub.iobeam_url)
                .saveToDisk(tmp_path)
                .registerDevice()
            )
            iobeam_client = await builder.build()
            conditions = iobeam_client.createDataStore(["temperature", "humidity"])
            now = int(time.time() * 1000)
            ts = iobeam.Timestamp(now)
            conditions.add(ts, {"temperature": 21.5, "humidity": 40})
            assert await iobeam_client.send() is True
            query = iobeam.QueryReq(7, iobeam_client.getDeviceId())
            found = await iobeam.makeQuery(token, query, hub.iobeam_url, reactor=hub.network.reactor)
            await iobeam_client.close()
            return now, found

        now, found = hub.run(main())
        assert {one["name"]: one["data"] for one in found["result"]} == {
            "temperature": [{"time": now, "value": 21.5}],
            "humidity": [{"time": now, "value": 40}],
        }
