"""The client, at a real hub and at a service that does what a test tells it."""

from __future__ import annotations

import json

import pytest
from twisted.internet.defer import CancelledError, Deferred

from tests.support.iobeam_project import client_of, token_of_project
from tests.support.iobeam_service import error_answer, json_answer, make_token
from txbridge.errors import (
    BridgeError,
    ConfigError,
    ConnectionLost,
    Forbidden,
    NotFound,
    RateLimited,
    RemoteProtocolError,
    TimedOut,
)
from txbridge.iobeam.client import Client, ClientBuilder, fetchDeviceToken, login, makeQuery
from txbridge.iobeam.errors import (
    BadArgument,
    DuplicateIdError,
    DuplicateNameError,
    NoDeviceId,
    UnauthorizedError,
    UnknownCodeError,
)
from txbridge.iobeam.points import DataPoint, DataSeries
from txbridge.iobeam.structures import DataStore, QueryReq, Row, Timestamp, TimeUnit
from txbridge.net.http1 import Response

PROJECT = 14436643675940
AT = 1_370_250_000_000_000
TOKEN = make_token()


@pytest.fixture
def token(hub):
    return token_of_project(hub, PROJECT)


@pytest.fixture
def client(hub, token):
    client = client_of(hub, PROJECT, token)
    yield client
    hub.run(client.close())


@pytest.fixture
def odd(network, service):
    client = Client(7, TOKEN, backend=service.url, device_id="pump-3", deadline=20, reactor=network.reactor)
    yield client
    network.run(client.close())


def series(exported):
    return {one.name: [(point.at, point.value) for point in one.points] for one in exported}


class TestAtAHub:
    def test_a_device_is_registered_and_its_rows_arrive_exactly(self, hub, client):
        assert hub.run(client.registerDevice("pump-3", "The pump")) is client
        assert (client.getDeviceId(), client.isRegistered()) == ("pump-3", True)
        store = client.createDataStore(["flow", "on", "n"])
        store.add(Timestamp(AT + 1, TimeUnit.MICROSECONDS), {"flow": 4.25, "on": True, "n": 2**62})
        store.add(Timestamp(AT + 2, TimeUnit.MICROSECONDS), {"flow": -0.5, "on": False})
        assert hub.run(client.send()) is True
        assert len(store) == 0
        query = QueryReq(PROJECT, "pump-3", timeUnit=TimeUnit.MICROSECONDS)
        assert series(hub.run(client.export(query))) == {
            "flow": [(AT + 1, 4.25), (AT + 2, -0.5)],
            "on": [(AT + 1, True), (AT + 2, False)],
            "n": [(AT + 1, 2**62)],
        }

    def test_a_name_of_a_series_may_have_any_character(self, hub, client):
        hub.run(client.registerDevice("pump-3"))
        store = client.createDataStore(["a/b?c=d%", "Grad °C"])
        store.add(AT // 1000, {"a/b?c=d%": 1, "Grad °C": 2})
        hub.run(client.send())
        assert series(hub.run(client.export(QueryReq(PROJECT, "pump-3", "a/b?c=d%")))) == {
            "a/b?c=d%": [(AT, 1)]
        }

    def test_the_service_chooses_an_id_and_it_is_kept(self, hub, token, tmp_path):
        async def build():
            return await (
                ClientBuilder(PROJECT, token, reactor=hub.network.reactor)
                .setBackend(hub.iobeam_url)
                .saveToDisk(tmp_path)
                .registerDevice()
                .build()
            )

        first = hub.run(build())
        again = hub.run(build())
        assert first.getDeviceId() == again.getDeviceId() == (tmp_path / "iobeam_device_id").read_text()
        assert len(hub.run(first.list_devices())) == 1
        hub.run(first.close())
        hub.run(again.close())

    def test_an_id_that_is_taken_is_refused_or_adopted(self, hub, client, token):
        hub.run(client.registerDevice("pump-3"))
        other = client_of(hub, PROJECT, token)
        with pytest.raises(DuplicateIdError) as caught:
            hub.run(other.registerDevice("pump-3"))
        assert (caught.value.status, caught.value.code) == (422, 150)
        assert not other.isRegistered()
        with pytest.raises(DuplicateNameError):
            hub.run(other.registerDevice("pump-4", "pump-3", setOnDupe=True))
        hub.run(other.registerDevice("pump-3", setOnDupe=True))
        assert other.getDeviceId() == "pump-3"
        hub.run(other.close())

    def test_a_device_that_is_not_registered_is_no_secret_and_nothing_is_lost(self, hub, client):
        client.setDeviceId("nobody")
        store = client.createDataStore(["a"])
        store.add(1, {"a": 1})
        with pytest.raises(NotFound) as caught:
            hub.run(client.send())
        assert caught.value.code == 32
        assert len(store) == 1

    def test_devices_are_listed_read_changed_and_deleted(self, hub, client):
        hub.run(client.registerDevice("pump-3"))
        assert [one.device_id for one in hub.run(client.list_devices())] == ["pump-3"]
        hub.run(client.update_device("pump-3", device_name="Garden"))
        assert hub.run(client.read_device("pump-3")).device_name == "Garden"
        hub.run(client.delete_device("pump-3"))
        with pytest.raises(NotFound):
            hub.run(client.read_device("pump-3"))

    def test_the_clock_of_the_service_is_read(self, hub, client):
        assert hub.run(client.device_timestamp()) == hub.network.clock.seconds() * 1000

    def test_a_token_of_one_device_writes_for_no_other(self, hub, client, token):
        hub.run(client.registerDevice("pump-3"))
        hub.run(client_and_close(hub, token, "pump-4"))
        fetching = fetchDeviceToken(
            hub.api_key, PROJECT, "pump-3", "1w", {"write": True}, hub.iobeam_url, reactor=hub.network.reactor
        )
        own = hub.run(fetching)
        for device, allowed in (("pump-3", True), ("pump-4", False)):
            limited = client_of(hub, PROJECT, own, device_id=device)
            store = limited.createDataStore(["a"])
            store.add(1, {"a": 1})
            if allowed:
                assert hub.run(limited.send()) is True
            else:
                with pytest.raises(Forbidden):
                    hub.run(limited.send())
            hub.run(limited.close())

    def test_a_query_that_may_not_be_asked_fails(self, hub, token):
        blind = token_of_project(hub, PROJECT, read=False, admin=False, is_there=True)
        with pytest.raises(UnauthorizedError):
            hub.run(makeQuery(blind, QueryReq(PROJECT), hub.iobeam_url, reactor=hub.network.reactor))

    def test_a_token_is_renewed_a_day_early_and_the_application_told(self, hub):
        told = []
        fetching = Client.fetchToken
        token_of_project(hub, 5)
        short = hub.run(
            fetching(
                hub.api_key,
                5,
                "2d",
                {"read": True, "write": True, "refreshable": True},
                hub.iobeam_url,
                reactor=hub.network.reactor,
            )
        )
        client = client_of(hub, 5, short, on_new_token=told.append)
        hub.run(client.registerDevice("p"))
        hub.network.clock.advance(86_400 + 60)
        hub.run(client.device_timestamp())
        assert told == [client.projectToken]
        assert told != [short]
        hub.run(client.device_timestamp())
        assert len(told) == 1
        hub.run(client.close())


async def client_and_close(hub, token, device_id):
    client = client_of(hub, PROJECT, token)
    await client.registerDevice(device_id)
    await client.close()


class TestArguments:
    @pytest.mark.parametrize("arguments", [(0, TOKEN), ("7", TOKEN), (7, ""), (7, None)])
    def test_a_builder_wants_a_project_and_a_token(self, arguments):
        with pytest.raises(ValueError, match=r"projectId|projectToken"):
            ClientBuilder(*arguments)

    def test_a_token_that_cannot_be_read_is_told_when_the_client_is_built(self, network):
        with pytest.raises(ValueError, match="is no project token") as caught:
            network.run(ClientBuilder(7, "my-own-token", reactor=network.reactor).build())
        assert "my-own-token" not in str(caught.value)

    @pytest.mark.parametrize("method", ["setDeviceId", "registerDevice", "registerOrSetId"])
    @pytest.mark.parametrize("device_id", ["a b", "a\n", "", 5])
    def test_a_bad_id_is_told_at_once(self, method, device_id):
        with pytest.raises(ValueError, match="deviceId"):
            getattr(ClientBuilder(7, TOKEN), method)(device_id)

    def test_a_token_is_in_no_text(self, odd):
        builder = ClientBuilder(7, TOKEN).setBackend("http://x.test/v1/")
        assert TOKEN not in f"{odd!r} {builder!r} {odd._session!r}"

    @pytest.mark.parametrize(
        "base",
        ["http://iobeam.test/v1/", "http://iobeam.test/v1", "http://iobeam.test", "http://iobeam.test/"],
    )
    def test_the_base_may_end_with_a_slash_or_not(self, network, service, base):
        service.answer = lambda request: json_answer({"server_timestamp": 5})
        client = Client(7, TOKEN, backend=base, reactor=network.reactor)
        assert network.run(client.device_timestamp()) == 5
        assert service.asked() == [("GET", "/devices/timestamp")]
        network.run(client.close())

    def test_a_backend_that_is_no_address_is_told(self, network):
        with pytest.raises(ConfigError):
            Client(7, TOKEN, backend="iobeam.test", reactor=network.reactor)

    def test_without_a_device_there_is_nothing_to_send_for(self, network):
        client = Client(7, TOKEN, reactor=network.reactor)
        with pytest.raises(NoDeviceId, match="register the device"):
            network.run(client.send())
        with pytest.raises(NoDeviceId):
            network.run(client.import_table(["a"], [Row(1, (1,))]))
        network.run(client.close())

    @pytest.mark.parametrize(
        "use",
        [
            lambda client: client.addDataStore(None),
            lambda client: client.addDataStore([1]),
            lambda client: client.addDataPoint("time", DataPoint(1, 1)),
            lambda client: client.addDataPoint("a", 5),
            lambda client: client.addDataSeries(None),
            lambda client: client.createDataStore(["a", "a"]),
            lambda client: client.setDeviceId("a b"),
        ],
    )
    def test_what_cannot_be_sent_is_refused_where_it_is_given(self, odd, use):
        with pytest.raises(BadArgument):
            use(odd)

    def test_what_is_no_query_is_refused(self, network, odd):
        for asking in (odd.export({}), makeQuery(TOKEN, None), makeQuery(None, QueryReq(7))):
            with pytest.raises(ValueError, match=r"qry|token"):
                network.run(asking)


class TestTheDevice:
    def test_an_id_that_is_given_goes_before_the_one_on_the_disk(self, network, tmp_path):
        (tmp_path / "iobeam_device_id").write_text("old\n")
        kept = Client(7, TOKEN, directory=tmp_path, reactor=network.reactor)
        assert kept.getDeviceId() == "old"
        given = Client(7, TOKEN, directory=tmp_path, device_id="new", reactor=network.reactor)
        assert given.getDeviceId() == (tmp_path / "iobeam_device_id").read_text() == "new"
        for one in (kept, given):
            network.run(one.close())

    def test_nothing_is_asked_when_the_id_is_known(self, network, service, odd):
        network.run(odd.registerDevice())
        network.run(odd.registerDevice("pump-3"))
        assert service.requests == []

    def test_a_device_that_cannot_be_registered_leaves_the_old_id(self, network, service, tmp_path):
        client = Client(
            7, TOKEN, backend=service.url, directory=tmp_path, device_id="old", reactor=network.reactor
        )
        service.answer = lambda request: error_answer(500)
        with pytest.raises(UnknownCodeError):
            network.run(client.registerDevice("new"))
        assert client.getDeviceId() == (tmp_path / "iobeam_device_id").read_text() == "old"
        network.run(client.close())

    def test_an_answer_with_the_id_alone_is_enough(self, network, service, odd):
        service.answer = lambda request: json_answer({"device_id": "p-9"}, 200)
        network.run(odd.registerDevice("p-9"))
        assert odd.getDeviceId() == "p-9"

    def test_an_id_that_is_none_is_not_taken_from_a_service(self, network, service, tmp_path):
        client = Client(7, TOKEN, backend=service.url, directory=tmp_path, reactor=network.reactor)
        service.answer = lambda request: json_answer({"device_id": "../x", "device_name": "x"}, 201)
        with pytest.raises(RemoteProtocolError, match="register_device: the id that it gave must be letters"):
            network.run(client.registerDevice())
        assert (client.getDeviceId(), list(tmp_path.iterdir())) == (None, [])
        network.run(client.close())

    def test_a_builder_that_fails_closes_its_connections(self, network, service):
        service.answer = lambda request: error_answer(403)
        builder = ClientBuilder(7, TOKEN, reactor=network.reactor).setBackend(service.url)
        with pytest.raises(UnauthorizedError):
            network.run(builder.registerDevice().build())
        assert network.clock.getDelayedCalls() == []


class TestSending:
    def test_stores_go_in_their_order_then_points_of_any_number(self, network, service, odd):
        first = odd.createDataStore(["b", "a"])
        assert odd.createDataStore(["a", "b"]) is first
        second = DataStore(["c"])
        odd.addDataStore(second)
        odd.addDataStore(second)
        odd.addDataPoint("d", DataPoint(1.5, 2))
        odd.addDataSeries(DataSeries("d", [DataPoint(2.5, 3)]))
        odd.addDataPoint("dropped", DataPoint(1, 1))
        odd.clearSeries("dropped")
        second.add(1, {"c": "x"})
        first.add(1, {"a": None, "b": 0})
        assert network.run(odd.send()) is True
        assert service.tables() == [
            {"fields": ["time", "b", "a"], "data": [[1000, 0, None]]},
            {"fields": ["time", "c"], "data": [[1000, "x"]]},
            {"fields": ["time", "d"], "data": [[2000, 1.5], [3000, 2.5]]},
        ]
        assert network.run(odd.send()) is True
        assert len(service.requests) == 3

    def test_the_request_is_what_a_service_reads(self, network, service, odd):
        odd.createDataStore(["a"]).add(1, {"a": 1})
        network.run(odd.send())
        (request,) = service.requests
        assert (request.method, request.path, request.query) == ("POST", "/v1/imports", "fmt=table")
        assert request.headers["content-type"] == "application/json"
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        body = json.loads(request.body)
        assert (body["project_id"], body["device_id"], body["timefmt"]) == (7, "pump-3", "usec")

    def test_points_of_the_older_style_outlive_a_failure(self, network, service, odd):
        odd.addDataPoint("d", DataPoint(1.5, 2))
        service.answer = lambda request: error_answer(503)
        with pytest.raises(UnknownCodeError):
            network.run(odd.send())
        service.answer = lambda request: Response(200)
        assert network.run(odd.send()) is True
        assert service.tables()[-1]["data"] == [[2000, 1.5]]

    def test_a_store_that_is_refused_does_not_hold_up_the_next(self, network, service, odd):
        first, second = odd.createDataStore(["a"]), odd.createDataStore(["b"])
        first.add(1, {"a": 1})
        second.add(1, {"b": 2})
        service.answer = lambda request: error_answer(400, 7) if b'"a"' in request.body else Response(200)
        with pytest.raises(UnknownCodeError) as caught:
            network.run(odd.send())
        assert caught.value.code == 7
        assert (len(first), len(second)) == (1, 0)

    def test_two_sendings_at_once_come_one_after_the_other(self, network, service, odd):
        held = []

        def hold(request):
            held.append(Deferred())
            return held[-1]

        service.answer = hold
        store = odd.createDataStore(["a"])
        store.add(1, {"a": 1})
        first = odd.send()
        network.pump()
        store.add(2, {"a": 2})
        second = odd.send()
        network.pump()
        assert len(held) == 1
        held[0].callback(Response(200))
        assert network.run(first) is True
        network.pump()
        held[1].callback(Response(200))
        assert network.run(second) is True
        assert [table["data"] for table in service.tables()] == [[[1000, 1]], [[2000, 2]]]

    def test_a_sending_that_is_given_up_keeps_what_it_does_not_know_about(self, network, service, odd):
        service.answer = lambda request: Deferred()
        store = odd.createDataStore(["a"])
        store.add(1, {"a": 1})
        sending = odd.send()
        network.pump()
        sending.cancel()
        with pytest.raises(CancelledError):
            network.run(sending)
        assert len(store) == 1
        service.answer = lambda request: Response(200)
        assert network.run(odd.send()) is True
        assert len(store) == 0

    def test_a_service_that_does_not_answer_is_given_up_after_the_deadline(self, network, service, odd):
        service.answer = lambda request: Deferred()
        odd.createDataStore(["a"]).add(1, {"a": 1})
        with pytest.raises(TimedOut) as caught:
            network.run(odd.send())
        assert (caught.value.operation, caught.value.seconds) == ("import_table", 20)
        assert network.clock.seconds() == 20

    def test_a_connection_that_breaks_loses_nothing(self, network, service, odd):
        service.answer = lambda request: Deferred()
        store = odd.createDataStore(["a"])
        store.add(1, {"a": 1})
        sending = odd.send()
        network.pump()
        network.cut()
        with pytest.raises(ConnectionLost):
            network.run(sending)
        assert len(store) == 1

    @pytest.mark.parametrize("status", [200, 201, 202, 204])
    def test_any_status_of_success_is_one(self, network, service, odd, status):
        service.answer = lambda request: Response(status)
        odd.createDataStore(["a"]).add(1, {"a": 1})
        assert network.run(odd.send()) is True

    @pytest.mark.parametrize(
        "page",
        [
            Response(200, (("Content-Type", "text/HTML; charset=utf-8"),), b"Log in to the network"),
            Response(200, (), b"\n<!DOCTYPE html><p>Log in to the network"),
        ],
    )
    def test_what_stands_in_front_of_the_service_takes_no_rows(self, network, service, odd, page):
        service.answer = lambda request: page
        store = odd.createDataStore(["a"])
        store.add(1, {"a": 1})
        with pytest.raises(RemoteProtocolError, match="answered 200 with a page of HTML"):
            network.run(odd.send())
        with pytest.raises(RemoteProtocolError):
            network.run(odd.delete_device("pump-3"))
        assert len(store) == 1

    @pytest.mark.parametrize("kind", ["text/html", "application/json"])
    @pytest.mark.parametrize("body", [b"", b" "])
    def test_an_answer_without_a_word_is_success(self, network, service, odd, kind, body):
        service.answer = lambda request: Response(200, (("Content-Type", kind),), body)
        odd.createDataStore(["a"]).add(1, {"a": 1})
        assert network.run(odd.send()) is True

    def test_a_service_that_is_asked_too_often_says_when_to_come_again(self, network, service, odd):
        service.answer = lambda request: Response(429, (("Retry-After", "7"),))
        store = odd.createDataStore(["a"])
        store.add(1, {"a": 1})
        with pytest.raises(RateLimited) as caught:
            network.run(odd.send())
        assert (caught.value.retry_after, len(store), len(service.requests)) == (7, 1, 1)

    def test_a_sending_that_is_given_up_while_it_waits_for_another_sends_nothing(self, network, service, odd):
        service.answer = lambda request: Deferred()
        store = odd.createDataStore(["a"])
        store.add(1, {"a": 1})
        first, second = odd.send(), odd.send()
        network.pump()
        second.cancel()
        with pytest.raises(CancelledError):
            network.run(second)
        first.cancel()
        with pytest.raises(CancelledError):
            network.run(first)
        service.answer = lambda request: Response(200)
        assert network.run(odd.send()) is True
        assert (len(store), len(service.requests)) == (0, 2)

    def test_closing_the_client_ends_a_sending_and_keeps_its_rows(self, network, service, odd):
        service.answer = lambda request: Deferred()
        store = odd.createDataStore(["a"])
        store.add(1, {"a": 1})
        sending = odd.send()
        network.pump()
        network.run(odd.close())
        with pytest.raises(BridgeError):
            network.run(sending)
        assert len(store) == 1

    def test_one_connection_serves_all_requests(self, network, service, odd):
        for number in range(3):
            odd.createDataStore([f"c{number}"]).add(1, {f"c{number}": 1})
        network.run(odd.send())
        assert len(service.requests) == 3
        assert all("close" not in request.headers.get("connection", "") for request in service.requests)


class TestQueries:
    def test_a_query_gives_what_the_service_says(self, network, service):
        service.answer = lambda request: json_answer({"result": [], "timefmt": "usec"})
        query = QueryReq(7, "p", "s", TimeUnit.MICROSECONDS).limit(5).fromTime(1500)
        found = network.run(makeQuery(TOKEN, query, service.url, reactor=network.reactor))
        assert found == {"result": [], "timefmt": "usec"}
        (request,) = service.requests
        assert (request.path, request.query) == ("/v1/exports/7/p/s", "limit=5&from=1&timefmt=usec")
        assert network.clock.getDelayedCalls() == []

    def test_a_login_gives_the_token_of_a_user(self, network, service):
        service.answer = lambda request: json_answer({"token": "of-ann"})
        found = network.run(login("ann", "secret", service.url, reactor=network.reactor))
        assert found == "of-ann"
        assert service.requests[0].headers["authorization"].startswith("Basic ")
