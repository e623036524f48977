"""Who asks, whether they may, and the owner's first key."""

from __future__ import annotations

import base64
import os
import stat
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from txbridge.errors import ConfigError
from txbridge.hub.auth import Accounts, Credentials, Principal, digest_of, may, set_up_owner
from txbridge.hub.sqlite import SqliteStore
from txbridge.hub.store import FeedRecord, KeyRecord
from txbridge.model.accounts import Key, Permission, Resource
from txbridge.model.structures import Environment

NOON = datetime(2013, 6, 3, 12, tzinfo=UTC)


def basic(text: str, encoding: str = "utf-8") -> str:
    """An Authorization header."""
    return "Basic " + base64.b64encode(text.encode(encoding)).decode()


# ------------------------------------------------------------------------------------- credentials


@pytest.mark.parametrize(
    ("headers", "parameter", "expected"),
    [
        ({"X-ApiKey": "new"}, None, ("new", None)),
        ({"x-pachubeapikey": "old"}, None, ("old", None)),
        ({}, "query", ("query", None)),
        ({"authorization": basic("ann:pass:word")}, None, ("pass:word", "ann")),
        ({"Authorization": basic("ann:sésame").replace("Basic", "bAsIc")}, None, ("sésame", "ann")),
        ({"Authorization": basic("ann:sésame", "latin-1")}, None, ("sésame", "ann")),
        (
            {"X-PACHUBEAPIKEY": "old", "X-APIKEY": "new", "authorization": basic("a:b")},
            "query",
            ("new", None),
        ),
        ({"X-PachubeApiKey": "old", "authorization": basic("a:b")}, "query", ("old", None)),
        ({"authorization": basic("a:b")}, "query", ("query", None)),
        ({"X-ApiKey": "  padded\t"}, None, ("padded", None)),
        ({"X-ApiKey": " ", "X-PachubeApiKey": ""}, " ", None),
        ({"X-ApiKey": "", "X-PachubeApiKey": "old"}, None, ("old", None)),
        ({}, None, None),
        ({"authorization": "Bearer abc"}, None, None),
        ({"authorization": "Basic !!!"}, None, None),
        ({"authorization": "Basic \u00e9"}, None, None),
        ({"authorization": "Basic"}, None, None),
        ({"authorization": basic("nocolon")}, None, None),
        ({"authorization": basic(":key")}, None, None),
        ({"authorization": basic("ann:")}, None, None),
    ],
)
def test_the_first_credentials_that_are_there_count(headers, parameter, expected):
    credentials = Credentials.of(headers, parameter)
    assert (None if credentials is None else (credentials.key, credentials.login)) == expected


def test_a_key_does_not_show():
    assert "sesame" not in repr(Credentials.of({"X-ApiKey": "sesame"}, None))


def test_a_digest_is_the_sha_256_of_any_text():
    assert digest_of("abc").hex().startswith("ba7816bf8f01cfea")
    assert len(digest_of("\udc80")) == 32


# ---------------------------------------------------------------------------------- authentication


class Keys:
    """The one question `Accounts` asks a store, and how often it was asked."""

    def __init__(self, *keys: tuple[str, KeyRecord]) -> None:
        self.records: dict[bytes, KeyRecord] = {}
        self.asked = 0
        for text, record in keys:
            self.records[digest_of(text)] = record

    def find_key(self, digest: bytes) -> Deferred[KeyRecord | None]:
        self.asked += 1
        return succeed(self.records.get(digest))


def over(keys: Any, clock: Clock) -> Accounts:
    """Accounts whose store knows these keys."""
    return Accounts(keys, clock)


def record(text: str, login: str = "ann", **members: Any) -> tuple[str, KeyRecord]:
    """A key and its record."""
    return text, KeyRecord(digest_of(text), login, Key(label="k", **members))


@pytest.fixture
def clock():
    clock = Clock()
    clock.advance(NOON.timestamp())
    return clock


async def who(accounts: Accounts, **headers: str) -> str | None:
    """The login that these headers belong to."""
    principal = await accounts.authenticate(Credentials.of(headers, None))
    return None if principal is None else principal.login


async def test_a_known_key_says_who_asks_and_what_it_may(clock):
    permission = Permission(access_methods=["get"])
    store = Keys(record("k1", private_access=True, permissions=[permission]), record("k2", "bob"))
    accounts = over(store, clock)
    assert await accounts.authenticate(Credentials("k1")) == Principal("ann", True, (permission,))
    assert await accounts.authenticate(Credentials("k2")) == Principal("bob", False, ())


async def test_nobody_has_no_credentials_or_an_unknown_key(clock):
    accounts = over(Keys(record("k1")), clock)
    assert await accounts.authenticate(None) is None
    assert await who(accounts, x_apikey="k1") is None
    assert await accounts.authenticate(Credentials("k2")) is None


async def test_with_basic_the_login_must_be_the_keys_own(clock):
    accounts = over(Keys(record("k1")), clock)
    assert await who(accounts, authorization=basic("ann:k1")) == "ann"
    assert await who(accounts, authorization=basic("bob:k1")) is None
    assert await who(accounts, authorization=basic("ann:k2")) is None


async def test_an_expired_key_works_no_longer_even_when_it_is_remembered(clock):
    accounts = over(Keys(record("k1", expires_at="2013-06-03T12:00:01Z")), clock)
    assert await accounts.authenticate(Credentials("k1")) is not None
    clock.advance(1)
    assert await accounts.authenticate(Credentials("k1")) is None


async def test_a_key_is_looked_up_once_in_a_few_seconds(clock):
    store = Keys(record("k1"))
    accounts = over(store, clock)
    for _ in range(3):
        await accounts.authenticate(Credentials("k1"))
    assert store.asked == 1
    clock.advance(5)
    store.records.clear()
    assert await accounts.authenticate(Credentials("k1")) is None
    assert store.asked == 2


async def test_keys_that_nobody_has_are_not_remembered(clock):
    store = Keys()
    accounts = over(store, clock)
    for number in range(3):
        await accounts.authenticate(Credentials(str(number)))
        await accounts.authenticate(Credentials(str(number)))
    assert store.asked == 6
    assert not accounts._found


async def test_only_so_many_keys_are_remembered(clock):
    keys = [record(str(number)) for number in range(1005)]
    store = Keys(*keys)
    accounts = over(store, clock)
    for text, _ in keys:
        assert await accounts.authenticate(Credentials(text)) is not None
    assert len(accounts._found) == 1000
    store.asked = 0
    await accounts.authenticate(Credentials("1004"))
    assert store.asked == 0


# ----------------------------------------------------------------------------------- authorisation


def principal(*permissions: Permission, login: str = "ann", private_access: bool = True) -> Principal:
    """Somebody with these permissions."""
    return Principal(login, private_access, permissions)


def feed(owner: str = "ann", private: bool = False, id: int = 7) -> FeedRecord:
    """A feed."""
    return FeedRecord(owner, Environment(id=id, private=private))


def granting(*methods: str, **constraints: Any) -> Permission:
    """A permission."""
    return Permission(access_methods=list(methods), **constraints)


EVERYTHING = granting("get", "put", "post", "delete")


@pytest.mark.parametrize("method", ["get", "put", "post", "delete", "GET", "DELETE"])
def test_the_owner_may_do_everything_with_a_key_for_everything(method):
    assert may(principal(EVERYTHING), method, feed(private=True)) is True


@pytest.mark.parametrize(
    ("method", "allowed"), [("get", True), ("put", False), ("post", False), ("delete", False)]
)
def test_others_may_only_read_what_is_public(method, allowed):
    assert may(principal(EVERYTHING, login="bob"), method, feed()) is allowed
    assert may(principal(EVERYTHING, login="bob"), method, feed(private=True)) is False


def test_a_private_feed_needs_a_key_with_private_access():
    assert may(principal(EVERYTHING, private_access=False), "get", feed(private=True)) is False
    assert may(principal(EVERYTHING, private_access=False), "put", feed()) is True


def test_a_key_does_what_its_methods_say():
    reader = principal(granting("GET"))
    assert [may(reader, method, feed()) for method in ("get", "put", "head")] == [True, False, False]
    assert may(principal(), "get", feed()) is False


def test_one_permission_must_agree_with_everything():
    """Two halves of a yes in two permissions are a no."""
    split = principal(granting("get", source_ip="10.0.0.1"), granting("put"))
    assert may(split, "get", feed(), client="10.0.0.1") is True
    assert may(split, "get", feed(), client="10.0.0.2") is False
    assert may(split, "put", feed(), client="10.0.0.2") is True


@pytest.mark.parametrize(
    ("source_ip", "client", "allowed"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("192.0.2.0/24", "192.0.2.8", True),
        ("192.0.2.9/24", "192.0.2.8", True),
        ("192.0.2.0/24", "192.0.3.8", False),
        ("192.0.2.7", "::ffff:192.0.2.7", True),
        ("2001:db8::/32", "2001:db8::1", True),
        ("2001:db8::/32", "192.0.2.7", False),
        (" 192.0.2.7 ", "192.0.2.7", True),
        ("192.0.2.7", "", False),
        ("not an address", "192.0.2.7", False),
        ("", "192.0.2.7", True),
    ],
)
def test_a_key_may_be_bound_to_addresses(source_ip, client, allowed):
    assert may(principal(granting("get", source_ip=source_ip)), "get", feed(), client=client) is allowed


@pytest.mark.parametrize(
    ("allowed_host", "referer", "allowed"),
    [
        ("example.org", "http://example.org/page?q=1", True),
        ("example.org", "https://EXAMPLE.org:8443/", True),
        ("http://example.org/", "http://example.org/page", True),
        ("example.org", "http://www.example.org/", False),
        ("example.org", "http://example.org.evil.test/", False),
        ("example.org", "http://evil.test/?example.org", False),
        ("example.org", "http://example.org@evil.test/", False),
        ("example.org", "", False),
        ("example.org", "http://[", False),
        ("//", "", False),
        ("", "", True),
    ],
)
def test_a_key_may_be_bound_to_a_referring_host(allowed_host, referer, allowed):
    assert may(principal(granting("get", referer=allowed_host)), "get", feed(), referer=referer) is allowed


@pytest.mark.parametrize(
    ("minimum", "interval", "allowed"),
    [(60, 60, True), (60, 30, False), (60, 0, False), (60, None, True), (0, 0, True)],
)
def test_a_key_may_be_bound_to_coarse_history(minimum, interval, allowed):
    assert (
        may(principal(granting("get", minimum_interval=minimum)), "get", feed(), interval=interval) is allowed
    )


@pytest.mark.parametrize(
    ("resources", "on_feed", "on_stream", "on_other_stream"),
    [
        ([Resource(feed_id=7)], True, True, True),
        ([Resource(feed_id=7, datastream_id="t")], False, True, False),
        ([Resource(feed_id=8)], False, False, False),
        ([Resource(datastream_trigger_id=7)], False, False, False),
        ([Resource(feed_id=8), Resource(feed_id=7)], True, True, True),
        ([], True, True, True),
    ],
)
def test_a_key_reaches_the_resources_it_names(resources, on_feed, on_stream, on_other_stream):
    limited = principal(granting("get", resources=resources))
    assert may(limited, "get", feed()) is on_feed
    assert may(limited, "get", feed(), datastream_id="t") is on_stream
    assert may(limited, "get", feed(), datastream_id="u") is on_other_stream


def test_a_key_with_resources_reaches_nothing_that_has_no_feed():
    account = FeedRecord("ann", Environment(private=False))
    assert may(principal(EVERYTHING), "post", account) is True
    for resource in (Resource(feed_id=7), Resource(datastream_trigger_id=1)):
        assert may(principal(granting("post", resources=[resource])), "post", account) is False


# --------------------------------------------------------------------------------- the first start


@pytest.fixture
def store(tmp_path):
    from twisted.internet import reactor

    store = pytest_twisted.blockon(SqliteStore.open(tmp_path / "hub.sqlite", reactor))
    yield store
    pytest_twisted.blockon(store.close())


async def login_of(store: SqliteStore, key: str) -> str | None:
    """Whose key this is."""
    found = await store.find_key(digest_of(key))
    return None if found is None else found.login


async def test_the_first_start_makes_a_key_that_only_the_user_can_read(store, tmp_path):
    done = await set_up_owner(store, tmp_path, None)
    assert (done.login, done.created, done.replaced) == ("owner", True, False)
    assert done.key_file == tmp_path / "owner.key"
    assert stat.S_IMODE((tmp_path / "owner.key").stat().st_mode) == 0o600
    key = (tmp_path / "owner.key").read_text().strip()
    assert len(key) == 48
    clock = Clock()
    owner = await Accounts(store, clock).authenticate(Credentials(key))
    assert owner is not None
    assert (owner.login, owner.private_access) == ("owner", True)
    assert all(may(owner, method, feed("owner", private=True)) for method in ("get", "put", "post", "delete"))


async def test_a_later_start_changes_nothing(store, tmp_path):
    await set_up_owner(store, tmp_path, None)
    before = (tmp_path / "owner.key").read_text()
    done = await set_up_owner(store, tmp_path, None)
    assert (done.created, done.replaced, done.key_file) == (False, False, tmp_path / "owner.key")
    assert (tmp_path / "owner.key").read_text() == before
    (tmp_path / "owner.key").unlink()
    assert (await set_up_owner(store, tmp_path, None)).key_file is None
    assert await login_of(store, before.strip()) == "owner"


async def test_a_start_that_was_interrupted_goes_on_with_the_key_it_wrote(store, tmp_path):
    key = "k" * 48
    path = tmp_path / "owner.key"
    path.write_text(key + "\n")
    path.chmod(0o600)
    assert (await set_up_owner(store, tmp_path, None)).created is True
    assert path.read_text().strip() == key
    assert await login_of(store, key) == "owner"


@pytest.mark.parametrize("left", ["", "k" * 47, "é" * 48])
async def test_a_key_that_was_half_written_is_made_again(store, tmp_path, left):
    path = tmp_path / "owner.key"
    path.write_text(left)
    path.chmod(0o600)
    await set_up_owner(store, tmp_path, None)
    key = path.read_text().strip()
    assert len(key) == 48
    assert key != left
    assert await login_of(store, key) == "owner"


async def test_a_key_that_others_could_have_written_is_not_used(store, tmp_path):
    path = tmp_path / "owner.key"
    path.write_text("k" * 48)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match=r"owner\.key"):
        await set_up_owner(store, tmp_path, None)
    assert await store.has_accounts() is False


async def test_a_key_file_that_is_a_link_is_not_followed(store, tmp_path):
    target = tmp_path / "elsewhere"
    target.write_text("k" * 48)
    target.chmod(0o600)
    os.symlink(target, tmp_path / "owner.key")
    with pytest.raises(ConfigError, match=r"owner\.key"):
        await set_up_owner(store, tmp_path, None)


async def test_a_given_key_is_used_and_not_written_down(store, tmp_path):
    done = await set_up_owner(store, tmp_path, "  sesame\n")
    assert (done.created, done.replaced, done.key_file) == (True, False, None)
    assert await login_of(store, "sesame") == "owner"
    assert not (tmp_path / "owner.key").exists()
    again = await set_up_owner(store, tmp_path, "sesame")
    assert (again.created, again.replaced) == (False, False)


async def test_another_given_key_replaces_the_one_before_and_its_file(store, tmp_path):
    await set_up_owner(store, tmp_path, None)
    generated = (tmp_path / "owner.key").read_text().strip()
    done = await set_up_owner(store, tmp_path, "sesame")
    assert (done.created, done.replaced) == (False, True)
    assert await login_of(store, generated) is None
    assert await login_of(store, "sesame") == "owner"
    assert not (tmp_path / "owner.key").exists()


async def test_a_key_file_that_cannot_be_removed_is_told(store, tmp_path):
    (tmp_path / "owner.key").mkdir()
    with pytest.raises(ConfigError, match=r"cannot remove .*owner\.key"):
        await set_up_owner(store, tmp_path, "sesame")


async def test_the_generated_key_may_be_given_back_and_keeps_its_file(store, tmp_path):
    await set_up_owner(store, tmp_path, None)
    generated = (tmp_path / "owner.key").read_text()
    done = await set_up_owner(store, tmp_path, generated)
    assert (done.created, done.replaced) == (False, False)
    assert (tmp_path / "owner.key").read_text() == generated


async def test_a_blank_key_is_refused(store, tmp_path):
    with pytest.raises(ConfigError, match="blank"):
        await set_up_owner(store, tmp_path, "  ")
    assert await store.has_accounts() is False


async def test_no_key_shows_in_what_a_start_reports(store, tmp_path):
    done = await set_up_owner(store, tmp_path, None)
    assert (tmp_path / "owner.key").read_text().strip() not in repr(done)
