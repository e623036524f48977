"""Products over the API: who manages them, and how their devices come to a feed and a key."""

from __future__ import annotations

import json

import pytest
import pytest_twisted

from tests.support.hub import KEY, STRANGER, document, header, running_hub, text
from tests.support.hub_in_memory import HubInMemory
from txbridge.cosm.paws import PAWSClient
from txbridge.cosm.server import ACTIVATIONS_PER_MINUTE
from txbridge.hub.auth import digest_of
from txbridge.hub.products import activation_code
from txbridge.model.accounts import Permission, Resource
from txbridge.model.structures import Datastream, Environment
from txbridge.net.http1 import Request

THERMOSTAT = {
    "product": {
        "name": "Thermostat",
        "description": "For a wall",
        "feed_defaults": {
            "title": "My thermostat",
            "description": "Warm",
            "tags": ["room", "wall"],
            "private": False,
            "datastreams": [{"id": "temperature", "current_value": "99"}, {"id": "battery"}],
        },
    }
}


@pytest_twisted.async_yield_fixture
async def hub(tmp_path):
    async with running_hub(tmp_path) as running:
        yield running


async def product(hub, body=THERMOSTAT, **options):
    """Make a product; gives its id."""
    response = await hub.ask("POST", "/v2/products", json.dumps(body), **options)
    assert (response.status, response.body) == (201, b"")
    return (header(response, "location") or "").rpartition("/")[2]


async def device(hub, serial="A1:7", body=THERMOSTAT):
    """Make a product with a device; gives the product's id and the activation code."""
    name = await product(hub, body)
    response = await hub.ask(
        "POST", f"/v2/products/{name}/devices", json.dumps({"devices": [{"serial": serial}]})
    )
    assert response.status == 201
    shown = document(await hub.get(f"/v2/products/{name}/devices/{serial}"))["device"]
    return name, shown["activation_code"]


async def activated(hub, code, **options):
    """Activate a device without a key; gives what it learns."""
    response = await hub.get(f"/v2/devices/{code}/activate", **{"key": None, **options})
    assert response.status == 200, response
    return document(response)


@pytest_twisted.ensureDeferred
async def test_a_product_is_made_read_changed_and_deleted(hub):
    name = await product(hub)
    shown = document(await hub.get(f"/v2/products/{name}.json"))["product"]
    assert len(bytes.fromhex(shown.pop("secret"))) == 20
    assert shown == {
        "product_id": name,
        "name": "Thermostat",
        "description": "For a wall",
        "state": "develop",
        "devices_count": 0,
        "activated_devices_count": 0,
        "feed_defaults": {
            "title": "My thermostat",
            "private": "false",
            "tags": ["room", "wall"],
            "description": "Warm",
            "datastreams": [{"id": "temperature"}, {"id": "battery"}],
        },
        "user": "keeper",
    }
    response = await hub.ask(
        "PUT", f"/v2/products/{name}", '{"state":"deploy","feed_defaults":{"title":"x"}}'
    )
    assert (response.status, response.body) == (200, b"")
    changed = document(await hub.get(f"/v2/products/{name}"))["product"]
    assert (changed["state"], changed["name"], changed["feed_defaults"]) == (
        "deploy",
        "Thermostat",
        {"title": "x"},
    )
    assert (await hub.ask("DELETE", f"/v2/products/{name}")).status == 200
    assert (await hub.get(f"/v2/products/{name}")).status == 404


@pytest_twisted.ensureDeferred
async def test_products_and_devices_are_listed_by_pages(hub):
    names = [await product(hub, {"name": str(number)}) for number in range(3)]
    page = document(await hub.get("/v2/products?page=2&per_page=2"))
    assert page["totalResults"] == 3
    assert [one["product_id"] for one in page["products"]] == names[2:]
    serials = [{"serial": f"S-{number}"} for number in range(5)]
    await hub.ask("POST", f"/v2/products/{names[0]}/devices", json.dumps({"devices": serials}))
    page = document(await hub.get(f"/v2/products/{names[0]}/devices?per_page=3"))
    assert page["totalResults"] == 5
    assert [one["serial"] for one in page["devices"]] == ["S-0", "S-1", "S-2"]
    assert document(await hub.get("/v2/products"))["products"][0]["devices_count"] == 5
    assert (await hub.get("/v2/products?page=x")).status == 422


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("{}", 422, "Name can't be blank"),
        ('{"name":" "}', 422, "Name can't be blank"),
        ('{"name":"' + "x" * 256 + '"}', 422, "Name is too long"),
        ('{"name":"a\\u0000"}', 422, "Name is not valid text"),
        ('{"name":"x","description":"\\ud800"}', 422, "Description is not valid text"),
        ('{"name":"x","state":"sold"}', 422, "State must be one of develop, deploy"),
        ('{"name":"x","feed_defaults":{"datastreams":[{"id":"a b"}]}}', 422, "Feed defaults: Datastream a b"),
        ('{"name":"x","feed_defaults":{"datastreams":7}}', 400, "array"),
        ('{"name":"x","feed_defaults":7}', 400, "feed_defaults: must be an object"),
        ('{"name":["x"]}', 400, "name: must be text"),
        ("[]", 400, "must be an object"),
        ("{", 400, "JSON"),
        ("<product/>", 406, "available as json"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_product_that_breaks_a_rule_is_refused(hub, body, status, words):
    response = await hub.ask("POST", "/v2/products", body)
    assert response.status == status
    assert words in text(response)
    assert document(await hub.get("/v2/products"))["totalResults"] == 0


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ('{"devices":[{"serial":"a b"}]}', 422, "Serial 'a b' is invalid"),
        ('{"devices":[{"serial":""}]}', 422, "is invalid"),
        ('{"devices":[{"serial":"' + "x" * 129 + '"}]}', 422, "is invalid"),
        ('{"devices":[{"serial":"é"}]}', 422, "is invalid"),
        ('{"devices":[{"serial":"A1"},{"serial":"A1"}]}', 422, "already been taken: A1"),
        ('{"devices":[{"serial":"OLD"}]}', 422, "already been taken: OLD"),
        ('{"devices":[]}', 422, "Devices can't be blank"),
        (json.dumps({"devices": [{"serial": str(n)} for n in range(1001)]}), 422, "at most 1000"),
        ('{"devices":[7]}', 400, "must be an object"),
        ("{}", 400, "serial"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_devices_that_break_a_rule_are_refused_together(hub, body, status, words):
    name, _ = await device(hub, "OLD")
    response = await hub.ask("POST", f"/v2/products/{name}/devices", body)
    assert response.status == status
    assert words in text(response)
    assert document(await hub.get(f"/v2/products/{name}/devices"))["totalResults"] == 1


@pytest.mark.parametrize(
    "body", ['{"serial":"A1+b_c-d:e,7"}', '{"device":{"serial":"A1+b_c-d:e,7"}}', '{"serial":42}']
)
@pytest_twisted.ensureDeferred
async def test_one_device_may_be_added_bare_and_a_serial_has_signs_of_its_own(hub, body):
    name = await product(hub)
    response = await hub.ask("POST", f"/v2/products/{name}/devices", body)
    location = header(response, "location") or ""
    shown = document(await hub.get(location.removeprefix("http://127.0.0.1:8080")))["device"]
    secret = bytes.fromhex(document(await hub.get(f"/v2/products/{name}"))["product"]["secret"])
    assert shown == {
        "serial": shown["serial"],
        "activation_code": activation_code(secret, shown["serial"]),
        "created_at": "2013-06-03T12:00:00.000000Z",
    }


@pytest_twisted.ensureDeferred
async def test_a_device_gets_a_feed_and_a_key_by_its_code_alone(hub):
    name, code = await device(hub)
    heard = []
    hub.live.listen(1, heard.append)
    response = await hub.get(f"/v2/devices/{code}/activate", key=None)
    learned = document(response)
    assert list(learned) == ["apikey", "feed_id", "datastreams"]
    assert (learned["feed_id"], learned["datastreams"]) == (1, ["battery", "temperature"])
    assert header(response, "cache-control") == "no-store"
    assert header(response, "etag") is None
    assert [written.feed_id for written in heard] == [1]
    key = learned["apikey"]
    feed = document(await hub.get("/v2/feeds/1.json", key=key))
    assert (feed["title"], feed["product_id"], feed["device_serial"]) == ("My thermostat", name, "A1:7")
    assert feed["datastreams"] == [{"id": "battery"}, {"id": "temperature"}]
    assert f"<product_id>{name}</product_id><device_serial>A1:7</device_serial>" in text(
        await hub.get("/v2/feeds/1.xml", key=key)
    )
    assert (await hub.ask("PUT", "/v2/feeds/1.csv", "temperature,21", key=key)).status == 200
    other = await hub.feed()
    assert (await hub.ask("PUT", f"/v2/feeds/{other}.csv", "t,21", key=key)).status == 403
    assert (await hub.get("/v2/products", key=key)).status == 403
    shown = document(await hub.get(f"/v2/products/{name}/devices/A1:7"))["device"]
    assert shown["feed_id"] == 1
    assert shown["activated_at"] == "2013-06-03T12:00:00.000000Z"
    assert shown["api_key"].startswith("ref-")
    assert document(await hub.get(f"/v2/products/{name}"))["product"]["activated_devices_count"] == 1


@pytest_twisted.ensureDeferred
async def test_a_device_without_room_for_json_is_told_in_one_row(hub):
    _, code = await device(hub)
    response = await hub.get(f"/v2/devices/{code}/activate.csv", key=None)
    assert header(response, "content-type") == "text/csv; charset=utf-8"
    key, *rest = text(response).rstrip("\n").split(",")
    assert rest == ["1", "2", "battery", "temperature"]
    assert (await hub.get("/v2/feeds/1", key=key)).status == 200


@pytest_twisted.ensureDeferred
async def test_the_text_of_a_device_s_key_is_not_kept(hub):
    _, code = await device(hub)
    key = (await activated(hub, code))["apikey"]
    assert key.encode() not in (await hub.store.read(lambda c: "\n".join(c.iterdump()).encode()))
    assert key not in text(await hub.get("/v2/keys"))


@pytest_twisted.ensureDeferred
async def test_a_code_opens_nothing_once_its_device_is_activated(hub):
    _, code = await device(hub)
    await activated(hub, code)
    for options in ({"key": None}, {"key": STRANGER}):
        response = await hub.get(f"/v2/devices/{code}/activate.json", **options)
        assert response.status == 403
        assert "already been activated" in text(response)
    assert (await hub.get("/v2/feeds/2")).status == 404


@pytest_twisted.ensureDeferred
async def test_a_device_may_ask_again_with_its_own_key(hub):
    _, code = await device(hub)
    learned = await activated(hub, code)
    await hub.ask("POST", "/v2/feeds/1/datastreams.csv", "a,1")
    again = await activated(hub, code, key=learned["apikey"])
    assert again == {**learned, "datastreams": ["a", "battery", "temperature"]}
    assert len(document(await hub.get("/v2/keys"))["keys"]) == 2
    await hub.replace_key(
        "stranger", STRANGER, Permission(access_methods=["get"], resources=[Resource(feed_id=1)])
    )
    hub.clock.advance(10)
    assert (await hub.get(f"/v2/devices/{code}/activate", key=STRANGER)).status == 403


@pytest_twisted.ensureDeferred
async def test_a_key_of_the_account_that_may_do_everything_replaces_the_device_s(hub):
    name, code = await device(hub)
    old = await activated(hub, code)
    new = await activated(hub, code, key=KEY)
    assert new["feed_id"] == old["feed_id"]
    assert new["apikey"] not in (old["apikey"], KEY)
    assert (await hub.get("/v2/feeds/1", key=old["apikey"])).status == 401
    assert (await hub.get("/v2/feeds/1", key=new["apikey"])).status == 200
    await hub.ask("DELETE", "/v2/feeds/1")
    assert (await hub.get(f"/v2/devices/{code}/activate", key=None)).status == 403
    assert (await activated(hub, code, key=KEY))["feed_id"] == 2
    assert document(await hub.get(f"/v2/products/{name}/devices/A1:7"))["device"]["feed_id"] == 2


@pytest.mark.parametrize(
    ("permissions", "private_access"),
    [
        ([Permission(access_methods=["get"])], True),
        ([Permission(access_methods=["get", "put", "post", "delete"], source_ip="127.0.0.1")], True),
        ([Permission(access_methods=["get", "put", "post", "delete"])], False),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_key_that_is_limited_manages_no_products_and_renews_no_keys(hub, permissions, private_access):
    name, code = await device(hub)
    await activated(hub, code)
    await hub.replace_key("keeper", KEY, *permissions, private_access=private_access)
    hub.clock.advance(10)
    for method, target, body in (
        ("GET", "/v2/products", ""),
        ("POST", "/v2/products", '{"name":"x"}'),
        ("GET", f"/v2/products/{name}", ""),
        ("DELETE", f"/v2/products/{name}", ""),
        ("GET", f"/v2/products/{name}/devices/A1:7", ""),
    ):
        assert (await hub.ask(method, target, body)).status == 403
    response = await hub.get(f"/v2/devices/{code}/activate")
    assert response.status == 200
    assert document(response)["apikey"] == KEY  # what it could read before; nothing is made


@pytest_twisted.ensureDeferred
async def test_products_of_others_are_not_there(hub):
    name, _ = await device(hub)
    for method, target, body in (
        ("GET", f"/v2/products/{name}", ""),
        ("PUT", f"/v2/products/{name}", "{}"),
        ("DELETE", f"/v2/products/{name}", ""),
        ("GET", f"/v2/products/{name}/devices", ""),
        ("POST", f"/v2/products/{name}/devices", '{"serial":"x"}'),
        ("GET", f"/v2/products/{name}/devices/A1:7", ""),
        ("DELETE", f"/v2/products/{name}/devices/A1:7", ""),
    ):
        assert (await hub.ask(method, target, body, key=STRANGER)).status == 404
        assert (await hub.ask(method, target, body, key=None)).status == 401
    assert document(await hub.get("/v2/products", key=STRANGER)) == {"totalResults": 0, "products": []}


@pytest_twisted.ensureDeferred
async def test_a_device_is_renamed_and_deleted_with_its_key(hub):
    name, code = await device(hub)
    address = f"/v2/products/{name}/devices"
    assert (await hub.ask("PUT", f"{address}/A1:7", '{"device":{"serial":"B2"}}')).status == 200
    assert (await hub.get(f"/v2/devices/{code}/activate", key=None)).status == 404
    code = document(await hub.get(f"{address}/B2"))["device"]["activation_code"]
    key = (await activated(hub, code.upper()))["apikey"]
    assert (await hub.ask("PUT", f"{address}/B2", '{"serial":"C3"}')).status == 422
    assert (await hub.ask("PUT", f"{address}/B2", '{"serial":"C 3"}')).status == 422
    assert (await hub.get("/v2/feeds/1", key=key)).status == 200
    assert (await hub.ask("DELETE", f"{address}/B2.json")).status == 200
    assert (await hub.get("/v2/feeds/1", key=key)).status == 401
    assert (await hub.get("/v2/feeds/1")).status == 200
    assert (await hub.get(f"{address}/B2")).status == 404


@pytest_twisted.ensureDeferred
async def test_a_product_goes_with_the_keys_of_its_devices(hub):
    name, code = await device(hub)
    key = (await activated(hub, code))["apikey"]
    assert (await hub.get("/v2/feeds/1", key=key)).status == 200
    assert (await hub.ask("DELETE", f"/v2/products/{name}")).status == 200
    assert (await hub.get("/v2/feeds/1", key=key)).status == 401
    assert document(await hub.get("/v2/feeds/1"))["product_id"] == name


@pytest_twisted.ensureDeferred
async def test_an_address_may_try_so_many_codes(hub):
    _, code = await device(hub)
    for _ in range(int(3 * ACTIVATIONS_PER_MINUTE)):
        assert (await hub.get("/v2/devices/none/activate", key=None, client="192.0.2.1")).status == 404
    refused = await hub.get(f"/v2/devices/{code}/activate", key=None, client="192.0.2.1")
    assert (refused.status, header(refused, "retry-after")) == (403, "2")
    assert (await hub.get(f"/v2/devices/{code}/activate", client="192.0.2.1")).status == 200


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("HEAD", "/v2/devices/{}/activate", 404),
        ("POST", "/v2/devices/{}/activate", 404),
        ("GET", "/v2/devices/{}/activate.xml", 406),
        ("GET", "/v2/devices/{}", 404),
        ("GET", "/v1/devices/{}/activate", 404),
        ("GET", "/v2/devices/{}/activate?key=nobodys", 401),
    ],
)
@pytest_twisted.ensureDeferred
async def test_nothing_is_activated_by_the_way(hub, method, target, status):
    _, code = await device(hub)
    assert (await hub.ask(method, target.format(code), key=None)).status == status
    assert (await hub.get("/v2/feeds/1")).status == 404


@pytest_twisted.ensureDeferred
async def test_the_owner_s_digest_stays_when_its_key_asks(hub):
    _, code = await device(hub)
    await activated(hub, code, key=KEY)
    assert await hub.store.find_key(digest_of(KEY)) is not None


def test_a_device_writes_and_listens_with_the_key_it_was_given(tmp_path):
    """From the code to a push over the socket, with nothing but what the activation answers."""
    with HubInMemory(tmp_path) as hub:

        def ask(method, path, body="", key=None):
            headers = {} if key is None else {"x-apikey": key}
            response = hub.run(hub.server.respond(Request(method, path, "", headers, body.encode())))
            return response, json.loads(response.body) if response.body else None

        made, _ = ask("POST", "/v2/products", json.dumps(THERMOSTAT), hub.api_key)
        name = (header(made, "location") or "").rpartition("/")[2]
        ask("POST", f"/v2/products/{name}/devices", '{"serial":"A1"}', hub.api_key)
        _, shown = ask("GET", f"/v2/products/{name}/devices/A1", key=hub.api_key)
        _, learned = ask("GET", f"/v2/devices/{shown['device']['activation_code']}/activate")
        heard = []
        socket = PAWSClient(learned["apikey"], url=f"{hub.paws_url}:80", reactor=hub.network.reactor)
        assert hub.run(socket.connect())
        resource = f"/feeds/{learned['feed_id']}/datastreams/temperature"
        hub.run(socket.subscribe(resource, heard.append)[1])
        client = hub.client(learned["apikey"])
        feed = Environment(datastreams=[Datastream(id="temperature", current_value="21.5")])
        hub.run(client.update_feed(feed_id=learned["feed_id"], data=feed))
        hub.settle()
        assert [pushed.current_value for pushed in heard] == ["21.5"]
        read = hub.run(client.read_feed(feed_id=learned["feed_id"]))
        assert (read.product_id, read.device_serial) == (name, "A1")
        hub.run(socket.disconnect())
