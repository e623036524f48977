"""Keys and users over REST: who may make what, what is shown, and what is not."""

from __future__ import annotations

import base64
import json

import pytest
import pytest_twisted

from tests.support.hub import HOST, KEY, STRANGER, TestHub, document, header, running_hub, text
from txbridge.hub.auth import digest_of
from txbridge.hub.store import KeyRecord
from txbridge.model.accounts import Key, KeyList, Permission, Resource, UserList

OWNER_KEY = "the-owners-own-key-0123456789"
EVERYTHING = ["get", "put", "post", "delete"]


@pytest_twisted.async_yield_fixture
async def hub(tmp_path):
    async with running_hub(tmp_path) as running:
        yield running


def key_document(*methods: str, **members) -> str:
    permission = {"access_methods": list(methods or ("get",)), **members.pop("permission", {})}
    return json.dumps({"key": {"label": "panel", "permissions": [permission], **members}})


async def make_key(hub: TestHub, body: str, **options) -> str:
    """Make a key; gives its text, which is told this once."""
    response = await hub.ask("POST", "/v2/keys.json", body, **options)
    assert (response.status, response.body) == (201, b""), text(response)
    return (header(response, "location") or "").rpartition("/")[2]


def basic(login: str, password: str) -> dict[str, str]:
    encoded = base64.b64encode(f"{login}:{password}".encode()).decode()
    return {"authorization": f"Basic {encoded}"}


# ------------------------------------------------------------------------------------------- keys


@pytest_twisted.ensureDeferred
async def test_a_key_that_is_made_works_and_its_text_is_told_once(hub):
    feed = await hub.feed()
    made = await make_key(hub, key_document("get", permission={"resources": [{"feed_id": feed}]}))
    assert len(made) == 48
    assert (await hub.get(f"/v2/feeds/{feed}.json", key=made)).status == 200
    assert (await hub.ask("PUT", f"/v2/feeds/{feed}.json", "{}", key=made)).status == 403
    shown = text(await hub.get("/v2/keys.json"))
    assert made not in shown
    assert made.encode() not in (await hub.store.read(lambda c: "\n".join(c.iterdump()).encode()))


@pytest.mark.parametrize("extension", ["json", "xml"])
@pytest_twisted.ensureDeferred
async def test_keys_read_back_as_they_were_made(hub, extension):
    feed = await hub.feed()
    key = Key(
        label="display panel",
        private_access=True,
        expires_at="2030-01-02T03:04:05Z",
        permissions=[
            Permission(
                label="read boiler",
                access_methods=["get"],
                source_ip="10.0.0.0/8",
                referer="www.house.example",
                minimum_interval=60,
                resources=[Resource(feed_id=feed, datastream_id="flow")],
            )
        ],
    )
    target = f"/v2/keys.{extension}"
    response = await hub.ask("POST", target, key.encode(extension))
    assert response.status == 201, text(response)
    made = (header(response, "location") or "").rpartition("/")[2]
    read = Key.decode((await hub.get(f"/v2/keys/{made}.{extension}")).body, extension)
    key.api_key = made
    assert read == key
    listed = KeyList.decode((await hub.get(target)).body, extension).keys
    assert [one.label for one in listed] == ["keeper", "display panel"]
    assert listed[1].api_key.startswith("ref-")
    by_reference = await hub.get(f"/v2/keys/{listed[1].api_key}.{extension}")
    assert Key.decode(by_reference.body, extension) == listed[1]


@pytest_twisted.ensureDeferred
async def test_only_the_keys_of_a_feed_are_listed_when_one_is_named(hub):
    feed, other = await hub.feed(), await hub.feed()
    await make_key(hub, key_document("get", permission={"resources": [{"feed_id": feed}]}))
    await make_key(hub, key_document("get", permission={"resources": [{"feed_id": other}]}))

    async def labels(query: str) -> int:
        return len(document(await hub.get(f"/v2/keys.json?feed_id={query}"))["keys"])

    assert [await labels(str(feed)), await labels("999"), await labels("x"), await labels("9" * 30)] == [
        1,
        0,
        0,
        0,
    ]


@pytest_twisted.ensureDeferred
async def test_a_key_is_changed_in_part_and_at_once(hub):
    feed = await hub.feed()
    made = await make_key(hub, key_document("get"))
    assert (await hub.ask("PUT", f"/v2/feeds/{feed}", '{"title":"a"}', key=made)).status == 403
    change = json.dumps({"key": {"permissions": [{"access_methods": ["GET", "Put"]}]}})
    assert (await hub.ask("PUT", f"/v2/keys/{made}", change)).status == 200
    assert (await hub.ask("PUT", f"/v2/feeds/{feed}", '{"title":"a"}', key=made)).status == 200
    read = document(await hub.get(f"/v2/keys/{made}.json"))["key"]
    assert (read["label"], read["permissions"]) == ("panel", [{"access_methods": ["get", "put"]}])


@pytest_twisted.ensureDeferred
async def test_a_deleted_key_works_no_longer(hub):
    made = await make_key(hub, key_document("get"))
    assert (await hub.get("/v2/feeds.json", key=made)).status == 200
    assert (await hub.ask("DELETE", f"/v2/keys/{made}")).status == 200
    assert (await hub.get("/v2/feeds.json", key=made)).status == 401
    assert (await hub.get(f"/v2/keys/{made}.json")).status == 404


@pytest_twisted.ensureDeferred
async def test_a_regenerated_key_is_the_same_under_another_text(hub):
    made = await make_key(hub, key_document("get"))
    assert (await hub.get("/v2/feeds.json", key=made)).status == 200
    response = await hub.ask("POST", f"/v2/keys/{made}/regenerate")
    assert (response.status, response.body) == (200, b"")
    fresh = (header(response, "location") or "").rpartition("/")[2]
    assert (await hub.get("/v2/feeds.json", key=made)).status == 401
    assert (await hub.get("/v2/feeds.json", key=fresh)).status == 200
    assert document(await hub.get(f"/v2/keys/{fresh}.json"))["key"]["label"] == "panel"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"permissions": [{"access_methods": ["get"]}]}, "Label can't be blank"),
        ({"label": "x"}, "Permissions can't be blank"),
        ({"label": "x", "permissions": []}, "Permissions can't be blank"),
        ({"label": "x", "permissions": [{}]}, "access methods can't be blank"),
        (
            {"label": "x", "permissions": [{"access_methods": ["patch"]}]},
            "must be among get, put, post, delete",
        ),
        ({"label": "x", "permissions": [{"access_methods": ["get"], "source_ip": "home"}]}, "source ip"),
        ({"label": "x", "permissions": [{"access_methods": ["get"], "minimum_interval": -1}]}, "negative"),
        (
            {"label": "x", "permissions": [{"access_methods": ["get"], "resources": [{}]}]},
            "must have a feed id",
        ),
        (
            {
                "label": "x",
                "permissions": [{"access_methods": ["get"], "resources": [{"datastream_id": "a"}]}],
            },
            "needs a feed id",
        ),
        (
            {"label": "x", "permissions": [{"access_methods": ["get"], "resources": [{"feed_id": 77}]}]},
            "there is no feed 77",
        ),
        ({"label": "x" * 256, "permissions": [{"access_methods": ["get"]}]}, "Label is too long"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_key_that_breaks_a_rule_is_refused_in_words(hub, body, words):
    response = await hub.ask("POST", "/v2/keys.json", json.dumps({"key": body}))
    assert response.status == 422
    assert words in document(response)["errors"]


@pytest.mark.parametrize(
    ("permission", "private_access", "wanted", "status"),
    [
        (Permission(access_methods=["get", "post"]), True, key_document("get", "post"), 201),
        (Permission(access_methods=["get", "post"]), True, key_document("delete"), 403),
        (Permission(access_methods=EVERYTHING), False, key_document("get", private_access=True), 403),
        (Permission(access_methods=EVERYTHING, source_ip="127.0.0.1"), True, key_document("get"), 403),
        (Permission(access_methods=EVERYTHING, minimum_interval=60), True, key_document("get"), 403),
        (
            Permission(access_methods=EVERYTHING, resources=[Resource(feed_id=1)]),
            True,
            key_document("get"),
            403,
        ),
        (Permission(access_methods=["get"]), True, key_document("get"), 403),
    ],
)
@pytest_twisted.ensureDeferred
async def test_no_key_can_give_what_it_has_not(hub, permission, private_access, wanted, status):
    await hub.feed()
    await hub.replace_key("keeper", "limited", permission, private_access=private_access)
    assert (await hub.ask("POST", "/v2/keys.json", wanted, key="limited")).status == status


@pytest.mark.parametrize(
    ("permission", "private_access", "status"),
    [
        (Permission(access_methods=["get", "post"]), True, 200),
        (Permission(access_methods=["post"]), True, 403),
        (Permission(access_methods=EVERYTHING), False, 403),
    ],
)
@pytest_twisted.ensureDeferred
async def test_nobody_gets_more_by_regenerating_a_key(hub, permission, private_access, status):
    made = await make_key(hub, key_document("get", private_access=True))
    limited = Key(label="limited", permissions=[permission], private_access=private_access)
    await hub.store.create_key(KeyRecord(digest_of("limited"), "keeper", limited))
    assert (await hub.ask("POST", f"/v2/keys/{made}/regenerate", key="limited")).status == status


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest_twisted.ensureDeferred
async def test_somebody_elses_key_is_not_to_be_found(hub, method):
    made = await make_key(hub, key_document("get"))
    response = await hub.ask(method, f"/v2/keys/{made}.json", key_document("get"), key=STRANGER)
    assert response.status == 404
    assert (await hub.get("/v2/feeds.json", key=made)).status == 200


# ------------------------------------------------------------------------------------------ users


NEWCOMER = json.dumps(
    {"user": {"login": "ann", "password": "open sesame", "email": "ann@house.example", "time_zone": "London"}}
)


@pytest_twisted.async_yield_fixture
async def owned_hub(hub):
    await hub.add_account("owner", OWNER_KEY)
    yield hub


@pytest_twisted.ensureDeferred
async def test_the_owner_makes_an_account_that_gets_in_with_its_password(owned_hub):
    response = await owned_hub.ask("POST", "/v2/users.json", NEWCOMER, key=OWNER_KEY)
    assert (response.status, header(response, "location")) == (201, f"http://{HOST}/v2/users/ann")
    ann = basic("ann", "open sesame")
    read = document(await owned_hub.get("/v2/users/ann.json", key=None, headers=ann))["user"]
    assert (read["login"], read["email"], read["time_zone"], read["roles"]) == (
        "ann",
        "ann@house.example",
        "London",
        ["user"],
    )
    assert "password" not in read
    assert (
        await owned_hub.get("/v2/feeds.json", key=None, headers=basic("ann", "open barley"))
    ).status == 401
    made = await make_key(owned_hub, key_document(*EVERYTHING), key=None, headers=ann)
    feed = await owned_hub.feed(key=made)
    assert (await owned_hub.ask("DELETE", f"/v2/feeds/{feed}", key=KEY)).status == 403
    assert document(await owned_hub.get("/v2/users/ann.json", key=OWNER_KEY))["user"]["feeds_count"] == 1


@pytest.mark.parametrize("extension", ["json", "xml"])
@pytest_twisted.ensureDeferred
async def test_users_are_listed_as_far_as_they_may_be_seen(owned_hub, extension):
    async def logins(key: str) -> list[str | None]:
        response = await owned_hub.get(f"/v2/users.{extension}", key=key)
        return [user.login for user in UserList.decode(response.body, extension).users]

    assert await logins(OWNER_KEY) == ["keeper", "owner", "stranger"]
    assert await logins(STRANGER) == ["stranger"]


@pytest_twisted.ensureDeferred
async def test_an_account_changes_itself_and_nobody_else(owned_hub):
    change = json.dumps({"user": {"full_name": "K. Eeper", "password": "a new password", "login": "other"}})
    assert (await owned_hub.ask("PUT", "/v2/users/keeper", change)).status == 200
    read = document(
        await owned_hub.get("/v2/users/keeper.json", key=None, headers=basic("keeper", "a new password"))
    )
    assert (read["user"]["login"], read["user"]["full_name"]) == ("keeper", "K. Eeper")
    assert (await owned_hub.ask("PUT", "/v2/users/keeper", change, key=STRANGER)).status == 403
    assert (await owned_hub.get("/v2/users/keeper.json", key=STRANGER)).status == 403
    assert (await owned_hub.ask("PUT", "/v2/users/keeper", change, key=OWNER_KEY)).status == 200


@pytest.mark.parametrize(
    ("permission", "private_access"),
    [(Permission(access_methods=["get", "put"]), True), (Permission(access_methods=EVERYTHING), False)],
)
@pytest_twisted.ensureDeferred
async def test_a_password_is_set_by_who_may_do_everything(owned_hub, permission, private_access):
    await owned_hub.replace_key("keeper", "limited", permission, private_access=private_access)
    change = json.dumps({"user": {"password": "a new password"}})
    assert (await owned_hub.ask("PUT", "/v2/users/keeper", change, key="limited")).status == 403
    assert (await owned_hub.ask("PUT", "/v2/users/keeper", '{"user":{}}', key="limited")).status == 200


@pytest_twisted.ensureDeferred
async def test_an_account_that_is_removed_takes_its_keys_and_feeds_along(owned_hub):
    feed = await owned_hub.feed(key=STRANGER)
    told = []
    owned_hub.live.publish = told.append
    assert (await owned_hub.ask("DELETE", "/v2/users/stranger")).status == 403
    assert (await owned_hub.ask("DELETE", "/v2/users/owner", key=OWNER_KEY)).status == 403
    assert (await owned_hub.ask("DELETE", "/v2/users/stranger", key=OWNER_KEY)).status == 200
    assert [(written.feed_id, written.deleted) for written in told] == [(feed, True)]
    assert (await owned_hub.get("/v2/feeds.json", key=STRANGER)).status == 401
    assert (await owned_hub.get(f"/v2/feeds/{feed}.json")).status == 404
    assert (await owned_hub.get("/v2/users/stranger.json", key=OWNER_KEY)).status == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"password": "open sesame"}, "Login can't be blank"),
        ({"login": "a b", "password": "open sesame"}, "Login is invalid"),
        ({"login": "keeper", "password": "open sesame"}, "Login has already been taken"),
        ({"login": "ann"}, "Password can't be blank"),
        ({"login": "ann", "password": "short"}, "Password must have 8 to 1024 characters"),
        ({"login": "ann", "password": "open sesame", "about": "x" * 256}, "About is too long"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_user_that_breaks_a_rule_is_refused_in_words(owned_hub, body, words):
    response = await owned_hub.ask("POST", "/v2/users.json", json.dumps({"user": body}), key=OWNER_KEY)
    assert response.status == 422
    assert words in document(response)["errors"]


@pytest_twisted.ensureDeferred
async def test_only_the_owner_makes_accounts(owned_hub):
    assert (await owned_hub.ask("POST", "/v2/users.json", NEWCOMER)).status == 403


@pytest_twisted.ensureDeferred
async def test_the_key_of_an_account_still_serves_as_its_password(owned_hub):
    other = KeyRecord(
        digest_of("second"), "keeper", Key(label="x", permissions=[Permission(access_methods=["get"])])
    )
    await owned_hub.store.create_key(other)
    assert (await owned_hub.get("/v2/feeds.json", key=None, headers=basic("keeper", "second"))).status == 200
    assert (
        await owned_hub.get("/v2/feeds.json", key=None, headers=basic("stranger", "second"))
    ).status == 401
