"""What every store promises, as tests: subclass `StoreContract` and say how to open one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import define, evolve, field, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import ensureDeferred, gatherResults

from txbridge.errors import Closed
from txbridge.hub.store import (
    MAX_DATASTREAMS,
    AccountFull,
    AccountRecord,
    FeedRecord,
    FeedSearch,
    Full,
    HistoryQuery,
    KeyRecord,
    Missing,
    Taken,
)
from txbridge.model.accounts import Key, Permission, Resource, User
from txbridge.model.instants import from_microseconds, to_microseconds
from txbridge.model.structures import Datapoint, Datastream, Environment, Location, Unit, Waypoint

__all__ = ["MORNING", "StoreContract", "allow", "at", "key_of"]

MORNING = datetime(2013, 6, 3, 8, tzinfo=UTC)
LATER = MORNING + timedelta(minutes=1)


class Refused(Exception):
    """What a guard raises."""


def allow(record: FeedRecord) -> None:
    """A guard that refuses nothing."""


def refuse(record: FeedRecord) -> None:
    """A guard that refuses everything."""
    raise Refused


def at(text: str) -> datetime:
    """An instant of the morning, such as ``"08:44:50"``."""
    return datetime.fromisoformat(f"2013-06-03T{text}+00:00")


def key_of(login: str, digest: bytes = b"d" * 32, **members: Any) -> KeyRecord:
    """A key's record."""
    permissions = members.pop("permissions", [Permission(access_methods=["get"])])
    return KeyRecord(digest, login, Key(label=login, permissions=permissions, **members))


def pairs(points: Iterable[Datapoint]) -> list[tuple[Any, Any]]:
    """Instants and values of points."""
    return [(point.at, point.value) for point in points]


def clock_texts(points: Iterable[Datapoint]) -> list[str]:
    """Points as the table of the specification writes them."""
    return [f"{point.at:%H:%M:%S}→{point.value}" for point in points]


class StoreContract(ABC):
    """The contract that `txbridge.hub.store` states."""

    @abstractmethod
    async def open(self, folder: Path) -> Any:
        """Open the store of a folder; the first time it is empty."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Any]:
        """An open store with the accounts ``ann`` and ``bob``."""

        async def start() -> Any:
            store = await self.open(tmp_path)
            await store.create_account("ann", key_of("ann", b"a" * 32))
            await store.create_account("bob", key_of("bob", b"b" * 32))
            return store

        store = pytest_twisted.blockon(ensureDeferred(start()))
        yield store
        pytest_twisted.blockon(store.close())

    async def feed(self, store: Any, *datastreams: Datastream, **members: Any) -> int:
        """Make a feed; gives its number."""
        environment = Environment(**{"title": "Boiler room", "datastreams": list(datastreams), **members})
        feed_id: int = (await store.create_feed("ann", environment, MORNING)).feed_id
        return feed_id

    async def stream(self, store: Any, feed_id: int, name: str = "t") -> Any:
        """A datastream as it is now."""
        return (await store.read_feed(feed_id)).environment.datastreams[name]

    async def all_points(self, store: Any, feed_id: int, name: str = "t") -> list[tuple[Any, Any]]:
        """The whole history of a datastream."""
        return pairs(await store.read_points(feed_id, name, None, 10_000))

    # -------------------------------------------------------------------------------- accounts

    async def test_a_store_knows_whether_it_was_set_up(self, tmp_path):
        store = await self.open(tmp_path)
        assert await store.has_accounts() is False
        await store.create_account("ann", key_of("ann"))
        assert await store.has_accounts() is True
        await store.close()

    async def test_a_key_is_found_by_its_digest_with_all_it_may_do(self, store):
        record = key_of(
            "cy",
            b"c" * 32,
            expires_at="2030-01-02T03:04:05.000006Z",
            private_access=False,
            permissions=[
                Permission(
                    access_methods=["get", "put"],
                    source_ip="10.0.0.0/8",
                    minimum_interval=0,
                    resources=[Resource(feed_id=7, datastream_id="pümp")],
                )
            ],
        )
        await store.create_account("cy", record)
        found = await store.find_key(b"c" * 32)
        assert found == evolve(record, reference=found.reference)

    async def test_an_unknown_key_is_not_found(self, store):
        assert await store.find_key(b"?" * 32) is None

    async def test_a_login_is_given_once(self, store):
        with pytest.raises(Taken) as raised:
            await store.create_account("ann", key_of("ann", b"x" * 32))
        assert raised.value.id == "ann"
        assert await store.find_key(b"x" * 32) is None

    async def test_a_replaced_key_is_gone(self, store):
        await store.replace_keys("ann", key_of("ann", b"n" * 32))
        assert await store.find_key(b"a" * 32) is None
        assert (await store.find_key(b"n" * 32)).login == "ann"
        assert (await store.find_key(b"b" * 32)).login == "bob"

    async def test_the_keys_of_nobody_cannot_be_replaced(self, store):
        with pytest.raises(Missing):
            await store.replace_keys("nobody", key_of("nobody", b"n" * 32))

    async def test_the_text_of_a_key_is_refused(self, store):
        with pytest.raises(ValueError, match="not stored"):
            await store.replace_keys("ann", key_of("ann", b"n" * 32, api_key="sesame"))

    async def test_keys_are_listed_in_the_order_in_which_they_were_made(self, store):
        limited = Permission(access_methods=["get"], resources=[Resource(feed_id=7, datastream_id="a")])
        await store.create_key(key_of("ann", b"2" * 32))
        await store.create_key(key_of("ann", b"1" * 32, permissions=[limited]))
        assert [key.digest for key in await store.list_keys("ann")] == [b"a" * 32, b"2" * 32, b"1" * 32]
        assert [key.digest for key in await store.list_keys("ann", 7)] == [b"1" * 32]
        assert await store.list_keys("nobody") == []

    async def test_a_key_is_found_by_its_reference_too(self, store):
        one, other = (await store.list_keys("ann"))[0], (await store.list_keys("bob"))[0]
        assert one.reference != other.reference
        assert await store.find_key_by_reference(one.reference) == one
        assert await store.find_key_by_reference("ref-") is None

    async def test_a_key_is_changed_and_keeps_its_reference(self, store):
        before = (await store.list_keys("ann"))[0]
        await store.update_key(before.digest, Key(label="other"), b"n" * 32)
        assert await store.list_keys("ann") == [evolve(before, digest=b"n" * 32, key=Key(label="other"))]
        await store.delete_key(b"n" * 32)
        assert await store.list_keys("ann") == []

    async def test_a_key_that_does_not_exist_cannot_be_changed(self, store):
        for write in (
            store.update_key(b"?" * 32, Key(label="x")),
            store.delete_key(b"?" * 32),
            store.create_key(key_of("nobody", b"?" * 32)),
        ):
            with pytest.raises(Missing):
                await write

    async def test_an_account_says_what_it_was_told_and_counts_what_it_has(self, store):
        account = AccountRecord(User(full_name="C. Y.", deliver_email=False), "hash")
        await store.create_account("cy", None, account)
        await store.create_feed("cy", Environment(title="t", datastreams={"a": Datastream(id="a")}), MORNING)
        read = await store.read_account("cy")
        assert (read.user.login, read.user.full_name, read.user.deliver_email) == ("cy", "C. Y.", False)
        assert (read.user.feeds_count, read.user.datastreams_count, read.password) == (1, 1, "hash")
        assert [one.user.login for one in await store.list_accounts()] == ["ann", "bob", "cy"]

    async def test_an_account_is_changed_in_part(self, store):
        await store.update_account(AccountRecord(User(login="ann", about="a", website="w"), "hash"))
        await store.update_account(AccountRecord(User(login="ann", about="b", feeds_count=99)))
        read = await store.read_account("ann")
        assert (read.user.about, read.user.website, read.user.feeds_count, read.password) == (
            "b",
            "w",
            0,
            "hash",
        )

    async def test_an_account_takes_its_keys_and_feeds_along(self, store):
        feed = (await store.create_feed("ann", Environment(title="t"), MORNING)).feed_id
        kept = (await store.create_feed("bob", Environment(title="t"), MORNING)).feed_id
        removed = await store.delete_account("ann")
        assert [(one.feed_id, one.deleted) for one in removed] == [(feed, True)]
        assert await store.find_key(b"a" * 32) is None
        with pytest.raises(Missing):
            await store.read_feed(feed)
        assert (await store.read_feed(kept)).owner == "bob"

    async def test_an_account_that_does_not_exist_can_be_neither_read_nor_changed(self, store):
        for ask in (
            store.read_account("nobody"),
            store.update_account(AccountRecord(User(login="nobody"))),
            store.delete_account("nobody"),
        ):
            with pytest.raises(Missing) as raised:
                await ask
            assert raised.value.what == "account"

    # ----------------------------------------------------------------------------------- feeds

    async def test_a_feed_reads_back_as_it_was_created(self, store):
        environment = Environment(
            title="Boiler room",
            private=True,
            icon="http://example.org/i.png",
            website="http://example.org/",
            tags=["zeta", "Alpha", "beta"],
            description="warm",
            auto_feed_url="http://example.org/feed",
            email="ann@example.org",
            location=Location(
                name="cellar",
                domain="physical",
                exposure="indoor",
                disposition="fixed",
                lat=0.0,
                lon=-1.25,
                ele="23.0",
            ),
            datastreams=[
                Datastream(id="b", current_value="0", tags=["y", "X"], unit=Unit(type="basicSI", symbol="K")),
                Datastream(id="a"),
            ],
        )
        written = await store.create_feed("ann", environment, MORNING)
        record = await store.read_feed(written.feed_id)
        assert record.owner == "ann"
        environment.id = written.feed_id
        environment.created = environment.updated = MORNING
        environment.tags = ["Alpha", "beta", "zeta"]
        b = environment.datastreams["b"]
        b.at, b.tags, b.max_value, b.min_value = MORNING, ["X", "y"], "0.0", "0.0"
        assert record.environment == environment
        assert list(record.environment.datastreams) == ["a", "b"]

    async def test_what_creating_a_feed_did_is_told(self, store):
        streams = [Datastream(id="t", current_value="21.50"), Datastream(id="empty")]
        written = await store.create_feed("ann", Environment(title="x", datastreams=streams), MORNING)
        assert set(written.created) == {"t", "empty"}
        assert written.changed == ("t",)
        assert {name: pairs(points) for name, points in written.recorded.items()} == {
            "t": [(MORNING, "21.50")]
        }
        assert (written.removed, written.deleted, written.snapshot) == ((), False, None)

    async def test_a_feed_needs_an_owner_that_exists(self, store):
        with pytest.raises(Missing):
            await store.create_feed("nobody", Environment(title="x"), MORNING)

    async def test_a_new_feed_is_public_and_holds_nothing_that_was_not_said(self, store):
        record = await store.read_feed(await self.feed(store))
        assert record.environment == Environment(
            id=record.environment.id, title="Boiler room", private=False, created=MORNING, updated=MORNING
        )

    async def test_only_the_wanted_datastreams_are_read(self, store):
        feed_id = await self.feed(store, *(Datastream(id=name) for name in ("a", "b", "c")))
        for wanted, found in [(["c", "a", "nope"], ["a", "c"]), ([], []), (None, ["a", "b", "c"])]:
            record = await store.read_feed(feed_id, wanted)
            assert list(record.environment.datastreams) == found

    @pytest.mark.parametrize("feed_id", [0, -1, 99, 2**63 - 1, 2**63, 10**30])
    async def test_a_feed_that_does_not_exist_is_missing_everywhere(self, store, feed_id):
        query = HistoryQuery(MORNING, MORNING)
        asks: list[Callable[[], Any]] = [
            lambda: store.read_feed(feed_id),
            lambda: store.update_feed(feed_id, Environment(), MORNING, allow),
            lambda: store.delete_feed(feed_id, allow),
            lambda: store.create_datastreams(feed_id, [], MORNING, allow),
            lambda: store.update_datastream(feed_id, "t", Datastream(), MORNING, allow),
            lambda: store.delete_datastream(feed_id, "t", allow),
            lambda: store.read_datapoint(feed_id, "t", MORNING),
            lambda: store.update_datapoint(feed_id, "t", MORNING, "1", MORNING, allow),
            lambda: store.delete_datapoints(feed_id, "t", None, None, MORNING, allow),
            lambda: store.read_history(feed_id, ["t"], query),
            lambda: store.read_values_at(feed_id, ["t"], MORNING),
            lambda: store.read_points(feed_id, "t", None, 1),
        ]
        for ask in asks:
            with pytest.raises(Missing) as raised:
                await ask()
            assert raised.value.what == "feed"

    async def test_a_datastream_that_does_not_exist_is_missing(self, store):
        feed_id = await self.feed(store)
        asks: list[Callable[[], Any]] = [
            lambda: store.update_datastream(feed_id, "t", Datastream(), MORNING, allow),
            lambda: store.delete_datastream(feed_id, "t", allow),
            lambda: store.read_datapoint(feed_id, "t", MORNING),
            lambda: store.update_datapoint(feed_id, "t", MORNING, "1", MORNING, allow),
            lambda: store.delete_datapoints(feed_id, "t", None, None, MORNING, allow),
            lambda: store.read_points(feed_id, "t", None, 1),
        ]
        for ask in asks:
            with pytest.raises(Missing) as raised:
                await ask()
            assert raised.value.what == "datastream"

    async def test_an_update_touches_only_what_it_names(self, store):
        feed_id = await self.feed(
            store,
            Datastream(id="t", current_value="1", tags=["x"], unit=Unit(symbol="C", label="Celsius")),
            description="warm",
            tags=["a"],
            private=True,
        )
        later = MORNING + timedelta(minutes=1)
        before = (await store.read_feed(feed_id)).environment
        await store.update_feed(feed_id, Environment(title="Attic"), later, allow)
        after = (await store.read_feed(feed_id)).environment
        before.title, before.updated = "Attic", later
        assert after == before

    async def test_members_that_a_reader_may_not_set_are_ignored(self, store):
        feed_id = await self.feed(store)
        sent = Environment(
            id=99,
            feed="http://elsewhere/",
            creator="me",
            created=at("09:00:00"),
            status="live",
            version="7",
            product_id="p",
            device_serial="s",
        )
        await store.update_feed(feed_id, sent, MORNING, allow)
        read = (await store.read_feed(feed_id)).environment
        assert (read.id, read.created) == (feed_id, MORNING)
        for name in ("feed", "creator", "status", "user", "product_id", "device_serial"):
            assert getattr(read, name) is None, name

    async def test_the_empty_text_clears_what_describes(self, store):
        feed_id = await self.feed(
            store,
            Datastream(id="t", tags=["x"], unit=Unit(symbol="C"), max_value="5"),
            description="warm",
            tags=["a"],
            location=Location(name="cellar", ele="1"),
        )
        cleared = Datastream(id="t", tags=[], unit=Unit(), max_value="")
        document = Environment(
            description="", tags=[], location=Location(name="", ele=""), datastreams=[cleared]
        )
        await store.update_feed(feed_id, document, MORNING, allow)
        read = (await store.read_feed(feed_id)).environment
        assert (read.description, read.tags, read.location) == (None, None, None)
        assert read.datastreams["t"] == Datastream(id="t")

    async def test_false_and_zero_are_values(self, store):
        feed_id = await self.feed(store, private=True, location=Location(lat=1, lon=1))
        await store.update_feed(
            feed_id, Environment(private=False, location=Location(lat=0, lon=0)), MORNING, allow
        )
        read = (await store.read_feed(feed_id)).environment
        assert read.private is False
        assert read.location == Location(lat=0.0, lon=0.0)

    async def test_a_location_changes_by_the_members_that_are_given(self, store):
        feed_id = await self.feed(store, location=Location(name="cellar", lat=1, lon=2, exposure="indoor"))
        await store.update_feed(feed_id, Environment(location=Location(lon=3)), MORNING, allow)
        read = (await store.read_feed(feed_id)).environment
        assert read.location == Location(name="cellar", lat=1, lon=3, exposure="indoor")

    async def test_a_mobile_feed_leaves_waypoints(self, store):
        """The previous position goes on the list, at the instant at which it was told."""
        feed_id = await self.feed(store, location=Location(disposition="mobile", lat=1, lon=1, ele="5"))
        for minute, location, updated in [
            (1, Location(lat=2), None),
            (2, Location(lat=2, lon=1, name="here"), None),  # not another position
            (3, Location(lon=3), at("07:30:00")),
            (4, Location(ele="6"), None),
        ]:
            now = MORNING + timedelta(minutes=minute)
            await store.update_feed(feed_id, Environment(location=location, updated=updated), now, allow)
        location = (await store.read_feed(feed_id)).environment.location
        assert (location.lat, location.lon, location.ele) == (2.0, 3.0, "6")
        assert location.waypoints == [
            Waypoint(at=at("07:30:00"), lat=2, lon=3, ele="5"),
            Waypoint(at=at("08:00:00"), lat=1, lon=1, ele="5"),
            Waypoint(at=at("08:01:00"), lat=2, lon=1, ele="5"),
        ]

    async def test_a_fixed_feed_leaves_no_waypoints(self, store):
        feed_id = await self.feed(store, location=Location(disposition="fixed", lat=1, lon=1))
        await store.update_feed(feed_id, Environment(location=Location(lat=2)), MORNING, allow)
        assert (await store.read_feed(feed_id)).environment.location.waypoints == []

    async def test_a_mobile_feed_without_a_previous_position_leaves_no_waypoint(self, store):
        feed_id = await self.feed(store)
        sent = Environment(location=Location(disposition="mobile", lat=1, lon=1))
        await store.update_feed(feed_id, sent, MORNING, allow)
        assert (await store.read_feed(feed_id)).environment.location.waypoints == []

    async def test_an_update_creates_unknown_datastreams(self, store):
        feed_id = await self.feed(store, Datastream(id="old", current_value="1"))
        sent = Environment(
            datastreams=[Datastream(id="new", current_value="2", tags=["x"]), Datastream(id="old")]
        )
        written = await store.update_feed(feed_id, sent, at("08:01:00"), allow)
        assert (written.created, written.changed) == (("new",), ("new",))
        read = await self.stream(store, feed_id, "new")
        assert (read.current_value, read.at, read.tags) == ("2", at("08:01:00"), ["x"])

    async def test_a_deleted_feed_is_gone_with_its_history(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="1"), Datastream(id="u"))
        written = await store.delete_feed(feed_id, allow)
        assert (written.deleted, set(written.removed), written.snapshot) == (True, {"t", "u"}, None)
        with pytest.raises(Missing):
            await store.read_feed(feed_id)

    async def test_the_number_of_a_feed_is_never_given_again(self, store):
        first = await self.feed(store)
        await store.delete_feed(first, allow)
        assert await self.feed(store) > first

    # -------------------------------------------------------------------------- guards, watching

    async def test_a_guard_is_shown_the_feed_and_can_refuse_every_write(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="1"), private=True)
        before = await store.read_feed(feed_id)
        later = at("09:00:00")
        shown = []

        def guard(record: FeedRecord) -> None:
            shown.append((record.owner, record.environment.id, record.environment.private))
            assert record.environment.datastreams == {}
            raise Refused

        document = Environment(title="x", datastreams=[Datastream(id="t", current_value="2")])
        writes: list[Callable[[], Any]] = [
            lambda: store.update_feed(feed_id, document, later, guard),
            lambda: store.delete_feed(feed_id, guard),
            lambda: store.create_datastreams(feed_id, [Datastream(id="u")], later, guard),
            lambda: store.update_datastream(feed_id, "t", Datastream(current_value="2"), later, guard),
            lambda: store.delete_datastream(feed_id, "t", guard),
            lambda: store.update_datapoint(feed_id, "t", MORNING, "2", later, guard),
            lambda: store.delete_datapoints(feed_id, "t", None, None, later, guard),
        ]
        for write in writes:
            with pytest.raises(Refused):
                await write()
        assert shown == [("ann", feed_id, True)] * len(writes)
        assert await store.read_feed(feed_id) == before
        assert await self.all_points(store, feed_id) == [(MORNING, "1")]

    async def test_a_guard_comes_before_what_is_missing_in_the_feed(self, store):
        """Who may not look must not learn which datastreams there are."""
        feed_id = await self.feed(store)
        with pytest.raises(Refused):
            await store.delete_datastream(feed_id, "nope", refuse)

    async def test_a_watched_feed_gives_the_state_after_each_write(self, store):
        feed_id, other = await self.feed(store), await self.feed(store)
        store.watched = lambda asked: asked == feed_id
        writes = [
            store.update_feed(
                feed_id, Environment(datastreams=[Datastream(id="t", current_value=value)]), MORNING, allow
            )
            for value in ("1", "2")
        ]
        first, second = await gatherResults(writes)
        assert first.snapshot.environment.datastreams["t"].current_value == "1"
        assert second.snapshot.environment.datastreams["t"].current_value == "2"
        assert second.snapshot == await store.read_feed(feed_id)
        unwatched = await store.update_feed(other, Environment(title="x"), MORNING, allow)
        assert unwatched.snapshot is None
        assert (await store.delete_datastream(feed_id, "t", allow)).snapshot.environment.datastreams == {}
        assert (await store.delete_feed(feed_id, allow)).snapshot is None

    async def test_an_account_has_only_so_many_feeds(self, store):
        store.max_feeds = 2
        first, _ = await self.feed(store), await self.feed(store)
        with pytest.raises(AccountFull) as raised:
            await self.feed(store)
        assert raised.value.most == 2
        await store.create_feed("bob", Environment(title="x"), MORNING)
        await store.delete_feed(first, allow)
        await self.feed(store)
        store.max_feeds = 1
        with pytest.raises(AccountFull):
            await self.feed(store)
        assert (await store.read_account("ann")).user.feeds_count == 2

    async def test_a_write_may_put_its_datastreams_in_the_place_of_all_there_are(self, store):
        feed_id = await self.feed(
            store, *(Datastream(id=name, current_value="1", tags=["x"]) for name in ("a", "b", "c"))
        )
        store.watched = lambda asked: True
        document = Environment(datastreams=[Datastream(id="b", current_value="2"), Datastream(id="d")])
        written = await store.update_feed(feed_id, document, at("09:00:00"), allow, allow)
        assert (written.removed, written.created, written.changed) == (("a", "c"), ("d",), ("b",))
        after = await store.read_feed(feed_id)
        assert written.snapshot == after
        assert list(after.environment.datastreams) == ["b", "d"]
        assert (after.environment.title, after.environment.datastreams["b"].tags) == ("Boiler room", ["x"])
        assert await self.all_points(store, feed_id, "b") == [(MORNING, "1"), (at("09:00:00"), "2")]
        again = await store.update_feed(
            feed_id, Environment(datastreams=[Datastream(id="a")]), at("09:01:00"), allow, allow
        )
        assert again.removed == ("b", "d")
        assert await self.all_points(store, feed_id, "a") == []

    async def test_who_may_not_remove_replaces_nothing(self, store):
        feed_id = await self.feed(store, Datastream(id="a", current_value="1"))
        before = await store.read_feed(feed_id)
        with pytest.raises(Refused):
            await store.update_feed(
                feed_id,
                Environment(title="x", datastreams=[Datastream(id="b")]),
                at("09:00:00"),
                allow,
                refuse,
            )
        assert await store.read_feed(feed_id) == before
        same = Environment(datastreams=[Datastream(id="a", current_value="2")])
        assert (await store.update_feed(feed_id, same, at("09:00:00"), allow, refuse)).removed == ()

    async def test_a_full_feed_can_be_replaced_and_not_by_too_many(self, store):
        feed_id = await self.feed(store, *(Datastream(id=str(n)) for n in range(MAX_DATASTREAMS)))
        others = Environment(datastreams=[Datastream(id=f"x{n}") for n in range(MAX_DATASTREAMS + 1)])
        with pytest.raises(Full):
            await store.update_feed(feed_id, others, MORNING, allow, allow)
        assert "0" in (await store.read_feed(feed_id, ["0"])).environment.datastreams
        some = Environment(datastreams=[Datastream(id="x"), Datastream(id="0")])
        await store.update_feed(feed_id, some, MORNING, allow, allow)
        assert list((await store.read_feed(feed_id)).environment.datastreams) == ["0", "x"]

    # ----------------------------------------------------------------------------- datastreams

    async def test_several_datastreams_are_created_or_none(self, store):
        feed_id = await self.feed(store, Datastream(id="t"))
        with pytest.raises(Taken) as raised:
            await store.create_datastreams(feed_id, [Datastream(id="u"), Datastream(id="t")], MORNING, allow)
        assert raised.value.id == "t"
        assert list((await store.read_feed(feed_id)).environment.datastreams) == ["t"]
        written = await store.create_datastreams(
            feed_id, [Datastream(id="u", current_value="7"), Datastream(id="v")], MORNING, allow
        )
        assert (written.created, written.changed) == (("u", "v"), ("u",))
        assert (await self.stream(store, feed_id, "u")).current_value == "7"

    async def test_a_datastream_comes_once_in_a_request(self, store):
        feed_id = await self.feed(store)
        with pytest.raises(Taken):
            await store.create_datastreams(feed_id, [Datastream(id="u"), Datastream(id="u")], MORNING, allow)
        assert (await store.read_feed(feed_id)).environment.datastreams == {}

    async def test_a_feed_has_a_bounded_number_of_datastreams(self, store):
        feed_id = await self.feed(store, *[Datastream(id=str(n)) for n in range(MAX_DATASTREAMS - 1)])
        one, other = Datastream(id="one", current_value="1"), Datastream(id="other")
        both = Environment(title="Both", datastreams=[one, other])
        with pytest.raises(Full):
            await store.update_feed(feed_id, both, MORNING, allow)
        with pytest.raises(Full):
            await store.create_datastreams(feed_id, [one, other], MORNING, allow)
        left = await store.read_feed(feed_id, ["one", "other"])
        assert (left.environment.title, left.environment.datastreams) == ("Boiler room", {})
        await store.create_datastreams(feed_id, [one], MORNING, allow)
        await store.update_feed(feed_id, Environment(datastreams=[one]), MORNING, allow)
        await store.delete_datastream(feed_id, "0", allow)
        await store.create_datastreams(feed_id, [other], MORNING, allow)
        with pytest.raises(Full):
            await self.feed(store, *[Datastream(id=str(n)) for n in range(MAX_DATASTREAMS + 1)])

    async def test_updating_a_datastream_goes_by_the_name_that_is_asked_for(self, store):
        feed_id = await self.feed(store, Datastream(id="t"), Datastream(id="u"))
        sent = Datastream(id="u", current_value="3", unit=Unit(label="Celsius"))
        written = await store.update_datastream(feed_id, "t", sent, at("08:05:00"), allow)
        assert (written.changed, written.created) == (("t",), ())
        streams = (await store.read_feed(feed_id)).environment.datastreams
        assert streams["t"].unit == Unit(label="Celsius")
        assert streams["u"] == Datastream(id="u")
        assert (await store.read_feed(feed_id)).environment.updated == at("08:05:00")

    async def test_a_unit_is_replaced_as_a_whole(self, store):
        feed_id = await self.feed(store, Datastream(id="t", unit=Unit(symbol="C", label="Celsius")))
        await store.update_datastream(feed_id, "t", Datastream(unit=Unit(symbol="K")), MORNING, allow)
        assert (await self.stream(store, feed_id)).unit == Unit(symbol="K")

    async def test_a_deleted_datastream_comes_back_without_its_history(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="1"), Datastream(id="u"))
        written = await store.delete_datastream(feed_id, "t", allow)
        assert (written.removed, written.changed, written.deleted) == (("t",), (), False)
        await store.create_datastreams(feed_id, [Datastream(id="t")], MORNING, allow)
        assert await self.all_points(store, feed_id) == []
        assert await self.stream(store, feed_id) == Datastream(id="t")

    # ---------------------------------------------------------------------------- current value

    async def test_a_value_is_recorded_when_its_document_says(self, store):
        """Its own instant, else the document's, else now."""
        feed_id = await self.feed(store)
        streams = [
            Datastream(id="own", current_value="1", at=at("07:00:00")),
            Datastream(
                id="document", current_value="2", datapoints=[Datapoint(value="0", at=at("06:00:00"))]
            ),
        ]
        await store.update_feed(
            feed_id, Environment(updated=at("07:30:00"), datastreams=streams), at("08:30:00"), allow
        )
        untimed = Environment(datastreams=[Datastream(id="now", current_value="3")])
        await store.update_feed(feed_id, untimed, at("08:30:00"), allow)
        assert await self.all_points(store, feed_id, "own") == [(at("07:00:00"), "1")]
        assert await self.all_points(store, feed_id, "document") == [
            (at("06:00:00"), "0"),
            (at("07:30:00"), "2"),
        ]
        assert await self.all_points(store, feed_id, "now") == [(at("08:30:00"), "3")]

    async def test_an_older_value_is_history_only(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="1", at=at("08:00:00")))
        sent = Datastream(current_value="0", at=at("07:00:00"))
        written = await store.update_datastream(feed_id, "t", sent, at("08:30:00"), allow)
        read = await self.stream(store, feed_id)
        assert (read.current_value, read.at) == ("1", at("08:00:00"))
        assert written.changed == ()
        assert pairs(written.recorded["t"]) == [(at("07:00:00"), "0")]

    async def test_the_newest_of_several_points_becomes_current(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="1", at=at("08:00:00")))
        points = [Datapoint(at=at(text), value=text) for text in ("08:20:00", "08:30:00", "07:00:00")]
        written = await store.update_datastream(feed_id, "t", Datastream(datapoints=points), MORNING, allow)
        read = await self.stream(store, feed_id)
        assert (read.current_value, read.at) == ("08:30:00", at("08:30:00"))
        assert written.changed == ("t",)
        assert [point.value for point in written.recorded["t"]] == ["07:00:00", "08:20:00", "08:30:00"]

    async def test_a_value_at_the_current_instant_replaces_it(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="1", at=at("08:00:00")))
        sent = Datastream(current_value="2", at=at("08:00:00"))
        await store.update_datastream(feed_id, "t", sent, at("09:00:00"), allow)
        assert (await self.stream(store, feed_id)).current_value == "2"
        assert await self.all_points(store, feed_id) == [(at("08:00:00"), "2")]

    async def test_an_untimed_value_is_current_even_before_a_point_of_the_future(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="wrong", at=at("23:00:00")))
        written = await store.update_datastream(
            feed_id, "t", Datastream(current_value="right"), at("09:00:00"), allow
        )
        read = await self.stream(store, feed_id)
        assert (read.current_value, read.at, written.changed) == ("right", at("09:00:00"), ("t",))
        assert await self.all_points(store, feed_id) == [(at("09:00:00"), "right"), (at("23:00:00"), "wrong")]

    async def test_an_untimed_value_is_current_among_the_points_of_its_own_document(self, store):
        feed_id = await self.feed(store, Datastream(id="t"))
        sent = Datastream(current_value="now", datapoints=[Datapoint(at=at("23:00:00"), value="later")])
        await store.update_datastream(feed_id, "t", sent, at("09:00:00"), allow)
        assert (await self.stream(store, feed_id)).current_value == "now"

    async def test_a_point_without_an_instant_is_recorded_now(self, store):
        feed_id = await self.feed(store, Datastream(id="t"))
        sent = Datastream(datapoints=[Datapoint(value="x")])
        await store.update_datastream(feed_id, "t", sent, at("09:00:00"), allow)
        assert await self.all_points(store, feed_id) == [(at("09:00:00"), "x")]
        assert (await self.stream(store, feed_id)).at == at("09:00:00")

    async def test_of_two_points_at_one_instant_the_last_wins(self, store):
        feed_id = await self.feed(store, Datastream(id="t"))
        points = [Datapoint(at=at("08:00:00"), value=value) for value in ("1", "9", "5")]
        written = await store.update_datastream(feed_id, "t", Datastream(datapoints=points), MORNING, allow)
        assert pairs(written.recorded["t"]) == [(at("08:00:00"), "5")]
        read = await self.stream(store, feed_id)
        assert (read.current_value, read.max_value, read.min_value) == ("5", "5.0", "5.0")

    async def test_zero_and_the_empty_text_are_values(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="1"))
        for minute, value in enumerate(["0", "", "false"], 1):
            sent = Datastream(current_value=value)
            await store.update_datastream(feed_id, "t", sent, MORNING + timedelta(minutes=minute), allow)
            assert (await self.stream(store, feed_id)).current_value == value

    async def test_a_value_keeps_its_text(self, store):
        feed_id = await self.feed(store, Datastream(id="t"))
        for value in ("21.50", "007", "JEBEL ALI", "1e3", "naïve ☃ 𝄞", " x "):
            await store.update_datastream(feed_id, "t", Datastream(current_value=value), MORNING, allow)
            assert (await self.stream(store, feed_id)).current_value == value

    async def test_microseconds_tell_points_apart(self, store):
        feed_id = await self.feed(store, Datastream(id="t"))
        points = [Datapoint(at=MORNING + timedelta(microseconds=n), value=str(n)) for n in range(3)]
        await store.update_datastream(feed_id, "t", Datastream(datapoints=points), MORNING, allow)
        assert await self.all_points(store, feed_id) == pairs(points)

    @pytest.mark.parametrize(
        "text", ["0001-01-01T00:00:00", "1969-12-31T23:59:59.999999", "9999-12-31T00:00:00"]
    )
    async def test_any_instant_can_be_recorded(self, store, text):
        instant = datetime.fromisoformat(text + "+00:00")
        feed_id = await self.feed(store, Datastream(id="t", current_value="1", at=instant))
        assert await self.all_points(store, feed_id) == [(instant, "1")]
        assert (await self.stream(store, feed_id)).at == instant

    # -------------------------------------------------------------------------------- extremes

    async def test_the_extremes_grow_with_every_number(self, store):
        feed_id = await self.feed(store, Datastream(id="t"))
        for value, extremes in [
            ("on", (None, None)),
            ("658", ("658.0", "658.0")),
            ("-3.50", ("658.0", "-3.5")),
            ("12", ("658.0", "-3.5")),
            ("1e3", ("1000.0", "-3.5")),
            ("NaN", ("1000.0", "-3.5")),
            ("100000000000000000000.1", ("100000000000000000000.1", "-3.5")),
        ]:
            await store.update_datastream(feed_id, "t", Datastream(current_value=value), MORNING, allow)
            read = await self.stream(store, feed_id)
            assert (read.max_value, read.min_value) == extremes, value

    async def test_history_counts_for_the_extremes(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="5"))
        points = [Datapoint(at=at("01:00:00"), value="9"), Datapoint(at=at("02:00:00"), value="1")]
        await store.update_datastream(feed_id, "t", Datastream(datapoints=points), MORNING, allow)
        read = await self.stream(store, feed_id)
        assert (read.current_value, read.max_value, read.min_value) == ("5", "9.0", "1.0")

    async def test_the_extremes_can_be_set_and_then_grow_again(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="50"))
        sent = Datastream(max_value="10", min_value="0", current_value="11")
        await store.update_datastream(feed_id, "t", sent, MORNING, allow)
        read = await self.stream(store, feed_id)
        assert (read.max_value, read.min_value) == ("11.0", "0.0")

    async def test_deleting_points_keeps_the_extremes(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="5"))
        await store.delete_datapoints(feed_id, "t", None, None, MORNING, allow)
        assert await self.stream(store, feed_id) == Datastream(id="t", max_value="5.0", min_value="5.0")

    # ------------------------------------------------------------------------------ datapoints

    async def test_a_point_is_read_by_its_exact_instant(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="1", at=at("08:00:00.25")))
        assert await store.read_datapoint(feed_id, "t", at("08:00:00.25")) == Datapoint(
            at=at("08:00:00.25"), value="1"
        )
        for near in ("08:00:00.249999", "08:00:00.250001"):
            with pytest.raises(Missing) as raised:
                await store.read_datapoint(feed_id, "t", at(near))
            assert raised.value.what == "datapoint"

    async def test_changing_the_current_point_changes_the_current_value(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="1"))
        written = await store.update_datapoint(feed_id, "t", MORNING, "7", at("09:00:00"), allow)
        read = await self.stream(store, feed_id)
        assert (read.current_value, read.at, read.max_value) == ("7", MORNING, "7.0")
        assert written.changed == ("t",)
        assert pairs(written.recorded["t"]) == [(MORNING, "7")]
        assert (await store.read_feed(feed_id)).environment.updated == at("09:00:00")

    @pytest.mark.parametrize("instant", ["07:00:00", "23:00:00"])
    async def test_changing_another_point_changes_only_history_and_extremes(self, store, instant):
        feed_id = await self.feed(store, Datastream(id="t", current_value="2", at=at(instant)))
        await store.update_datastream(feed_id, "t", Datastream(current_value="1"), MORNING, allow)
        written = await store.update_datapoint(feed_id, "t", at(instant), "-4", MORNING, allow)
        read = await self.stream(store, feed_id)
        assert (read.current_value, read.at, read.min_value) == ("1", MORNING, "-4.0")
        assert written.changed == ()
        assert (await store.read_datapoint(feed_id, "t", at(instant))).value == "-4"

    async def test_a_point_that_is_not_there_cannot_be_changed(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="1"))
        with pytest.raises(Missing) as raised:
            await store.update_datapoint(feed_id, "t", at("09:00:00"), "2", MORNING, allow)
        assert raised.value.what == "datapoint"
        assert await self.all_points(store, feed_id) == [(MORNING, "1")]

    async def hourly(self, store: Any) -> int:
        """A feed whose datastream has a point at each hour from 1 to 6."""
        points = [Datapoint(at=at(f"0{hour}:00:00"), value=str(hour)) for hour in range(1, 7)]
        return await self.feed(store, Datastream(id="t", datapoints=points))

    @pytest.mark.parametrize(
        ("start", "end", "left"),
        [
            ("02:00:00", "04:00:00", "156"),
            ("02:00:00.000001", "03:59:59.999999", "12456"),
            (None, "02:00:00", "3456"),
            ("05:00:00", None, "1234"),
            (None, None, ""),
            ("07:00:00", "08:00:00", "123456"),
            ("03:00:00", "03:00:00", "12456"),
        ],
    )
    async def test_a_range_is_deleted_with_both_its_bounds(self, store, start, end, left):
        feed_id = await self.hourly(store)
        bounds = [None if text is None else at(text) for text in (start, end)]
        written = await store.delete_datapoints(feed_id, "t", *bounds, at("09:00:00"), allow)
        assert "".join(value for _, value in await self.all_points(store, feed_id)) == left
        read = await self.stream(store, feed_id)
        assert read.current_value == (left[-1] if left else None)
        assert read.at == (at(f"0{left[-1]}:00:00") if left else None)
        assert written.changed == (() if left.endswith("6") else ("t",))
        assert (await store.read_feed(feed_id)).environment.updated == at("09:00:00")

    async def test_deleting_one_point_that_is_not_there_is_refused(self, store):
        feed_id = await self.hourly(store)
        with pytest.raises(Missing) as raised:
            await store.delete_datapoints(feed_id, "t", at("03:30:00"), at("03:30:00"), MORNING, allow)
        assert raised.value.what == "datapoint"

    async def test_deleting_the_current_point_falls_back_to_the_newest_that_is_left(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="future", at=at("23:00:00")))
        for minute, value in [(1, "one"), (2, "two")]:
            now = MORNING + timedelta(minutes=minute)
            await store.update_datastream(feed_id, "t", Datastream(current_value=value), now, allow)
        await store.delete_datapoints(feed_id, "t", at("08:01:00"), at("08:01:00"), MORNING, allow)
        assert (await self.stream(store, feed_id)).current_value == "two"
        await store.delete_datapoints(feed_id, "t", at("08:02:00"), at("08:02:00"), MORNING, allow)
        assert (await self.stream(store, feed_id)).current_value == "future"

    # --------------------------------------------------------------------------------- history

    @pytest.fixture
    def table(self, store: Any) -> int:
        """The stream of the specification's table of history arithmetic."""
        stored = [("08:44:50", 1), ("08:59:58", 2), ("09:10:00", 3), ("09:29:59", 4), ("09:31:00", 5)]

        async def make() -> int:
            points = [Datapoint(at=at(text), value=value) for text, value in stored]
            return await self.feed(store, Datastream(id="t", datapoints=points))

        feed_id: int = pytest_twisted.blockon(ensureDeferred(make()))
        return feed_id

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, "08:59:58→2 09:10:00→3 09:29:59→4 09:31:00→5"),
            ({"find_previous": True}, "08:44:50→1 08:59:58→2 09:10:00→3 09:29:59→4 09:31:00→5"),
            ({"interval": 900}, "08:59:58→2 09:10:00→3 09:29:59→4 09:31:00→5"),
            ({"interval": 3600, "end": at("10:00:00")}, "08:59:58→2 09:31:00→5"),
            (
                {"interval": 900, "discrete": True},
                "08:45:00→1 09:00:00→2 09:15:00→3 09:30:00→4 09:45:00→5",
            ),
            ({"interval": 900, "limit": 2}, "08:59:58→2 09:10:00→3"),
            ({"start": at("09:10:00"), "end": at("09:40:00")}, "09:10:00→3 09:29:59→4 09:31:00→5"),
            ({"interval": 900, "find_previous": True, "limit": 2}, "08:44:50→1 08:59:58→2"),
            ({"interval": 900, "discrete": True, "find_previous": True, "limit": 1}, "08:45:00→1"),
            ({"interval": 900, "discrete": True, "skip": 3, "limit": 9}, "09:30:00→4 09:45:00→5"),
            ({"interval": 900, "discrete": True, "start": at("00:00:00"), "limit": 1}, "08:45:00→1"),
            ({"skip": 1, "limit": 2}, "09:10:00→3 09:29:59→4"),
            ({"find_previous": True, "skip": 2, "limit": 2}, "09:10:00→3 09:29:59→4"),
            ({"limit": 0}, ""),
            ({"interval": 3600, "start": at("08:00:00"), "function": "sum"}, "09:00:00→3.0"),
            (
                {"interval": 3600, "end": at("10:00:00"), "function": "average"},
                "09:00:00→2.0 10:00:00→4.0",
            ),
            ({"interval": 3600, "end": at("10:00:00"), "function": "max"}, "09:00:00→2.0 10:00:00→5.0"),
            ({"interval": 3600, "end": at("10:00:00"), "function": "min", "skip": 1}, "10:00:00→3.0"),
        ],
    )
    async def test_the_history_arithmetic_of_the_specification(self, store, table, options, expected):
        """Source: Cosm API v2, "Historical data"; the window is 08:45 to 09:45."""
        query = HistoryQuery(**{"start": at("08:45:00"), "end": at("09:45:00"), **options})
        (history,) = await store.read_history(table, ["t"], query)
        assert " ".join(clock_texts(history.datapoints)) == expected

    async def test_of_two_points_in_an_interval_the_later_is_given(self, store, table):
        sent = Datastream(datapoints=[Datapoint(at=at("09:14:59.999999"), value="late")])
        await store.update_datastream(table, "t", sent, MORNING, allow)
        query = HistoryQuery(at("08:45:00"), at("09:15:00"), interval=900)
        (history,) = await store.read_history(table, ["t"], query)
        assert [point.value for point in history.datapoints] == ["2", "late"]

    async def test_a_point_on_the_grid_belongs_to_the_interval_that_it_ends(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="1", at=at("08:00:00")))
        for start, values in [("07:50:00", ["1"]), ("07:59:59", ["1"]), ("08:00:00", [])]:
            query = HistoryQuery(at(start), at("08:20:00"), interval=600)
            (history,) = await store.read_history(feed_id, ["t"], query)
            assert [point.value for point in history.datapoints] == values, start

    async def test_histories_come_in_the_order_of_the_question_and_may_be_empty(self, store):
        feed_id = await self.feed(
            store,
            Datastream(id="a", current_value="1"),
            Datastream(id="b"),
            Datastream(id="c", current_value="3"),
        )
        query = HistoryQuery(MORNING, MORNING)
        histories = await store.read_history(feed_id, ["c", "nope", "b", "a"], query)
        assert [(history.id, pairs(history.datapoints)) for history in histories] == [
            ("c", [(MORNING, "3")]),
            ("b", []),
            ("a", [(MORNING, "1")]),
        ]

    async def test_a_function_sees_only_numbers_and_is_exact(self, store):
        points = [
            Datapoint(at=MORNING + timedelta(seconds=n), value=value)
            for n, value in enumerate(["0.1", "0.2", "off", "0.3"])
        ]
        feed_id = await self.feed(store, Datastream(id="t", datapoints=points), Datastream(id="text"))
        await store.update_datastream(feed_id, "text", Datastream(current_value="off"), MORNING, allow)
        for function, value in [("sum", "0.6"), ("average", "0.2"), ("min", "0.1"), ("max", "0.3")]:
            query = HistoryQuery(at("07:00:00"), at("09:00:00"), interval=3600, function=function)
            history, text = await store.read_history(feed_id, ["t", "text"], query)
            # 08:00:00 itself ends the interval before.
            sees = {"sum": "0.5", "average": "0.25", "min": "0.2", "max": "0.3"}[function]
            assert pairs(history.datapoints) == [(at("08:00:00"), "0.1"), (at("09:00:00"), sees)], value
            assert text.datapoints == []

    async def test_an_unknown_function_is_refused(self, store, table):
        query = HistoryQuery(MORNING, MORNING, interval=60, function="median")
        with pytest.raises(ValueError, match="median"):
            await store.read_history(table, ["t"], query)

    async def test_values_at_an_instant_are_the_last_before_it(self, store, table):
        await store.update_feed(
            table,
            Environment(datastreams=[Datastream(id="late", current_value="x", at=at("12:00:00"))]),
            MORNING,
            allow,
        )
        wanted = ["late", "t", "nope"]
        for text, value in [("08:44:49", None), ("08:44:50", "1"), ("09:29:58", "3"), ("10:00:00", "5")]:
            values = await store.read_values_at(table, wanted, at(text))
            assert {name: point.value for name, point in values.items()} == (
                {} if value is None else {"t": value}
            )

    async def test_a_whole_history_is_walked_in_pieces(self, store, table):
        walked, after = [], None
        while piece := await store.read_points(table, "t", after, 2):
            assert len(piece) <= 2
            walked += piece
            after = piece[-1].at
        assert pairs(walked) == await self.all_points(store, table)
        assert [point.value for point in walked] == ["1", "2", "3", "4", "5"]

    async def test_a_whole_history_is_walked_backwards_in_pieces(self, store, table):
        walked, last = [], 2**62
        while piece := await store.read_backwards(table, "t", -(2**62), last, 2):
            assert len(piece) <= 2
            walked += piece
            last = piece[-1][0] - 1
        assert [(from_microseconds(at), value) for at, value in reversed(walked)] == await self.all_points(
            store, table
        )

    async def test_a_window_read_backwards_holds_both_its_ends(self, store):
        feed_id = await self.feed(
            store,
            Datastream(id="t", datapoints=[Datapoint(at=MORNING, value="1"), Datapoint(at=LATER, value="2")]),
        )
        first, last = to_microseconds(MORNING), to_microseconds(LATER)
        assert await store.read_backwards(feed_id, "t", first, last, 9) == [(last, "2"), (first, "1")]
        assert await store.read_backwards(feed_id, "t", first + 1, last - 1, 9) == []
        assert await store.read_backwards(feed_id, "t", first, last, 0) == []
        for missing in ((feed_id, "x"), (99, "t")):
            with pytest.raises(Missing):
                await store.read_backwards(*missing, first, last, 9)

    # ---------------------------------------------------------------------------------- search

    async def titles(
        self, store: Any, login: str = "ann", private_access: bool = True, **search: Any
    ) -> list[str]:
        """Titles of the feeds that match."""
        total, records = await store.list_feeds(FeedSearch(login, private_access, **search))
        assert total >= len(records)
        return [record.environment.title for record in records]

    async def test_a_search_sees_public_feeds_and_ones_own_private_ones(self, store):
        for number, (owner, private) in enumerate(
            [("ann", True), ("ann", False), ("bob", True), ("bob", False)]
        ):
            now = MORNING + timedelta(minutes=number)
            title = f"{owner} {'private' if private else 'public'}"
            await store.create_feed(owner, Environment(title=title, private=private), now)
        assert await self.titles(store) == ["bob public", "ann public", "ann private"]
        assert await self.titles(store, private_access=False) == ["bob public", "ann public"]
        assert await self.titles(store, "bob") == ["bob public", "bob private", "ann public"]
        assert await self.titles(store, user="ann") == ["ann public", "ann private"]
        assert await self.titles(store, user="") == []

    async def test_a_search_can_be_limited_to_feeds(self, store):
        numbers = [await self.feed(store, title=f"{n}") for n in range(3)]
        assert await self.titles(store, feed_ids=(numbers[2], numbers[0], 10**30)) == ["2", "0"]
        assert await self.titles(store, feed_ids=()) == []

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("boiler", "title"),
            ("GRÖSSE", "description"),  # written with ß
            ("tag-one", "tag"),
            ("cellar", "place"),
            ("pump.1", "stream"),
            ("flow", "streamtag"),
            ("100%", "percent"),
            ("a_b", "underscore"),
            ("\\", "backslash"),
            ("", "backslash description percent place stream streamtag tag title underscore"),
            ("nothing of that", ""),
        ],
    )
    async def test_text_is_found_in_any_case_wherever_it_may_be(self, store, text, found):
        feeds: dict[str, dict[str, Any]] = {
            "title": {"icon": "boiler", "title": "title: the BOILER room"},
            "description": {"description": "Die größe"},
            "tag": {"tags": ["x", "Tag-One"]},
            "place": {"location": Location(name="The Cellar")},
            "stream": {"datastreams": [Datastream(id="PUMP.1")]},
            "streamtag": {"datastreams": [Datastream(id="t", tags=["Flow"])]},
            "percent": {"description": "at 100% of 100x"},
            "underscore": {"description": "a_b"},
            "backslash": {"description": "c:\\d axb 100x"},
        }
        for title, members in feeds.items():
            await self.feed(store, **{"title": title, **members})
        titles = await self.titles(store, text=text)
        assert sorted(title.partition(":")[0] for title in titles) == found.split()

    async def test_a_tag_is_found_whole_on_a_feed_or_a_datastream(self, store):
        await self.feed(store, title="feed", tags=["Warm", "x"])
        await self.feed(store, Datastream(id="t", tags=["warm"]), title="stream")
        await self.feed(store, title="other", tags=["warmer", "lukewarm"])
        assert sorted(await self.titles(store, tag="WARM")) == ["feed", "stream"]
        assert await self.titles(store, tag="x Warm") == []

    async def test_a_unit_is_found_by_its_label_or_symbol(self, store):
        await self.feed(store, Datastream(id="t", unit=Unit(label="Celsius")), title="label")
        await self.feed(store, Datastream(id="t", unit=Unit(symbol="celsius")), title="symbol")
        await self.feed(
            store, Datastream(id="t", unit=Unit(type="Celsius", label="degrees Celsius")), title="other"
        )
        assert sorted(await self.titles(store, units="CELSIUS")) == ["label", "symbol"]

    async def test_live_and_frozen_go_by_the_last_write(self, store):
        early = await self.feed(store, title="early")
        late = await self.feed(store, title="late")
        await store.update_feed(late, Environment(), at("08:30:00"), allow)
        assert await self.titles(store, live_since=at("08:30:00")) == ["late"]
        assert await self.titles(store, frozen_since=at("08:30:00")) == ["early"]
        await store.update_feed(
            early, Environment(datastreams=[Datastream(id="t", current_value="1")]), at("08:31:00"), allow
        )
        assert await self.titles(store, live_since=at("08:30:00")) == ["early", "late"]

    @pytest.mark.parametrize(
        ("near", "found"),
        [
            ((51.5, -0.12, 50), ["London"]),
            ((51.5, -0.12, 400), ["London", "Paris"]),
            ((51.5, -0.12, 21_000), ["Fiji East", "Fiji West", "London", "North", "Paris", "South"]),
            ((-17.0, 179.9, 50), ["Fiji East", "Fiji West"]),
            ((-17.0, -179.9, 50), ["Fiji East", "Fiji West"]),
            ((89.9, 100.0, 100), ["North"]),
            ((-89.9, 100.0, 100), ["South"]),
            ((51.5, -0.12, 0), []),
        ],
    )
    async def test_near_means_along_the_surface_of_the_earth(self, store, near, found):
        for title, lat, lon in [
            ("London", 51.5074, -0.1278),
            ("Paris", 48.8566, 2.3522),
            ("Fiji East", -17.0, -179.8),
            ("Fiji West", -17.0, 179.8),
            ("North", 89.95, -80.0),
            ("South", -89.95, -80.0),
        ]:
            await self.feed(store, title=title, location=Location(lat=lat, lon=lon))
        await self.feed(store, title="nowhere", location=Location(lat=51.5))
        assert sorted(await self.titles(store, near=near)) == found

    async def test_feeds_come_in_the_order_that_is_asked_for(self, store):
        numbers = {}
        for minute, (title, description) in enumerate(
            [("old heat", None), ("cold", "heat"), ("new heat", None), ("plain", None)]
        ):
            created = await store.create_feed(
                "ann", Environment(title=title, description=description), MORNING + timedelta(minutes=minute)
            )
            numbers[title] = created.feed_id
        await store.update_feed(numbers["old heat"], Environment(), at("09:00:00"), allow)
        assert await self.titles(store, order="created_at") == ["plain", "new heat", "cold", "old heat"]
        assert await self.titles(store) == ["old heat", "plain", "new heat", "cold"]
        assert await self.titles(store, order="relevance", text="heat") == ["old heat", "new heat", "cold"]
        assert await self.titles(store, order="relevance") == ["old heat", "plain", "new heat", "cold"]
        with pytest.raises(ValueError, match="alphabet"):
            await self.titles(store, order="alphabet")

    async def test_a_page_says_how_many_there_are(self, store):
        for number in range(5):
            await self.feed(store, title=str(number))
        for offset, limit, found in [
            (0, 2, ["4", "3"]),
            (4, 2, ["0"]),
            (9, 2, []),
            (10**30, 1, []),
            (0, 0, []),
        ]:
            search = FeedSearch("ann", True, offset=offset, limit=limit)
            total, records = await store.list_feeds(search)
            assert (total, [record.environment.title for record in records]) == (5, found)

    async def test_a_full_list_has_current_values_and_a_summary_none(self, store):
        feed_id = await self.feed(store, Datastream(id="t", current_value="1"))
        (_, [full]) = await store.list_feeds(FeedSearch("ann", True))
        assert full == await store.read_feed(feed_id)
        (_, [summary]) = await store.list_feeds(FeedSearch("ann", True, full=False))
        assert summary == await store.read_feed(feed_id, [])

    # ------------------------------------------------------------------ durability and concurrency

    async def test_what_was_written_is_there_after_opening_again(self, tmp_path):
        store = await self.open(tmp_path)
        await store.create_account("ann", key_of("ann", b"a" * 32))
        feed_id = await self.feed(store, Datastream(id="t", current_value="1"))
        record = await store.read_feed(feed_id)
        await store.close()
        again = await self.open(tmp_path)
        assert await again.read_feed(feed_id) == record
        assert await self.all_points(again, feed_id) == [(MORNING, "1")]
        assert (await again.find_key(b"a" * 32)).login == "ann"
        await again.close()

    async def test_writes_that_share_a_commit_fail_alone(self, store):
        feed_id = await self.feed(store, Datastream(id="t"))

        def write(number: int) -> Any:
            sent = Datastream(current_value=str(number), at=MORNING + timedelta(seconds=number))
            guard = refuse if number % 3 == 0 else allow
            name = "nope" if number % 3 == 1 else "t"
            done = store.update_datastream(feed_id, name, sent, MORNING, guard)
            return done.addErrback(lambda failure: failure.trap(Refused, Missing))

        results = await gatherResults([write(number) for number in range(60)])
        assert results[:2] == [Refused, Missing]
        written = [value for _, value in await self.all_points(store, feed_id)]
        assert written == [str(number) for number in range(60) if number % 3 == 2]

    async def test_results_come_in_the_order_of_the_writes(self, store):
        feed_id = await self.feed(store, Datastream(id="t"))
        order = []

        def write(number: int) -> Any:
            sent = Datastream(current_value=str(number))
            done = store.update_datastream(feed_id, "t", sent, MORNING, allow)
            return done.addCallback(lambda _: order.append(number))

        await gatherResults([write(number) for number in range(50)])
        assert order == list(range(50))
        assert (await self.stream(store, feed_id)).current_value == "49"

    async def test_closing_finishes_what_was_accepted_and_refuses_the_rest(self, tmp_path):
        store = await self.open(tmp_path)
        await store.create_account("ann", key_of("ann"))
        feed_id = await self.feed(store, Datastream(id="t"))
        accepted = [
            store.update_datastream(feed_id, "t", Datastream(current_value=str(n)), MORNING, allow)
            for n in range(20)
        ]
        reading = store.read_feed(feed_id)
        closing = store.close()
        late: list[Callable[[], Any]] = [
            lambda: store.read_feed(feed_id),
            lambda: store.delete_feed(feed_id, allow),
        ]
        for ask in late:
            with pytest.raises(Closed):
                await ask()
        assert len(await gatherResults(accepted)) == 20
        assert (await reading).owner == "ann"
        await closing
        await store.close()
        again = await self.open(tmp_path)
        assert (await self.stream(again, feed_id)).current_value == "19"
        await again.close()

    # ------------------------------------------------------------------------- against a model

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    async def test_any_sequence_of_writes_leaves_what_a_plain_dict_would_hold(self, store, data):
        """Each example is a feed of its own in the same store."""
        feed_id = (await store.create_feed("ann", Environment(title="x"), MORNING)).feed_id
        await store.create_datastreams(feed_id, [Datastream(id="t")], MORNING, allow)
        model = Model()
        for step in data.draw(st.lists(STEPS, min_size=2, max_size=10)):
            await step.do(model, store, feed_id)
            read = (await store.read_feed(feed_id)).environment.datastreams["t"]
            current = None if read.at is None else (read.at, read.current_value)
            assert current == model.current
            known = [read.max_value, read.min_value]
            assert [None if text is None else Decimal(text) for text in known] == [
                model.greatest,
                model.least,
            ]
        assert await self.all_points(store, feed_id) == sorted(model.points.items())
        for query in data.draw(st.lists(QUERIES, min_size=3, max_size=8)):
            (history,) = await store.read_history(feed_id, ["t"], query)
            assert pairs(history.datapoints) == model.history(query), query


# --------------------------------------------------------------------------------- the plain model

# Few, so that they meet each other and the grid.
MOMENTS = [
    MORNING + timedelta(seconds=seconds, microseconds=micros)
    for seconds, micros in [
        (-60, 0),
        (-30, 1),
        (0, 0),
        (0, 1),
        (10, 0),
        (30, -1),
        (30, 0),
        (60, 0),
        (70, 0),
        (120, 0),
    ]
]
INSTANTS = st.sampled_from(MOMENTS)
VALUES = st.sampled_from(["0", "1", "-2.50", "3e2", "1000000000000000000001", "", "off", "NaN", "0.1", "7"])
QUERIES = st.builds(
    HistoryQuery,
    start=INSTANTS,
    end=INSTANTS,
    limit=st.sampled_from([9, 9, 9, 2, 0]),
    interval=st.sampled_from([30, 30, 0, 60]),
    discrete=st.booleans(),
    find_previous=st.booleans(),
    function=st.sampled_from([None, None, None, "min", "max", "sum"]),
    skip=st.sampled_from([0, 0, 0, 1, 3]),
)


FUNCTIONS: dict[str, Callable[[list[Decimal]], Any]] = {"min": min, "max": max, "sum": sum}


def number_in(text: str) -> Decimal | None:
    """The number of a value, for the few texts used here."""
    return None if text in ("", "off", "NaN") else Decimal(text)


@define
class Model:
    """One datastream as a dict."""

    points: dict[datetime, str] = field(factory=dict)
    current: tuple[datetime, str] | None = None
    greatest: Decimal | None = None
    least: Decimal | None = None

    def stretch(self, values: Iterable[str]) -> None:
        for number in (number_in(value) for value in values):
            if number is not None:
                self.greatest = number if self.greatest is None else max(self.greatest, number)
                self.least = number if self.least is None else min(self.least, number)

    def history(self, query: HistoryQuery) -> list[tuple[datetime, str]]:
        """What the specification says, taken literally: every instant of the grid is looked at."""
        start, end, step = query.start, query.end, timedelta(seconds=query.interval)
        stored = sorted(self.points.items())
        inside = [(at, value) for at, value in stored if start <= at <= end]
        if not step:
            found = inside
        else:
            first = start.replace(hour=0, minute=0, second=0, microsecond=0)
            grid = [first + step * n for n in range((end - first) // step + 1)] if end >= first else []
            found = []
            for instant in (instant for instant in grid if instant >= start):
                bucket = [(at, value) for at, value in inside if instant - step < at <= instant]
                if query.function:
                    numbers = [number for _, value in bucket if (number := number_in(value)) is not None]
                    if numbers and instant > start:
                        found.append((instant, as_extreme(FUNCTIONS[query.function](numbers))))
                elif query.discrete:
                    before = [value for at, value in stored if at <= instant]
                    found += [(instant, before[-1])] if before else []
                elif bucket and instant > start:
                    found.append(bucket[-1])
        if query.find_previous and not (step and (query.discrete or query.function)):
            found = [(at, value) for at, value in stored if at < start][-1:] + found
        return found[query.skip :][: query.limit]


def as_extreme(number: Decimal) -> str:
    text = format(number.normalize(), "f") if abs(number) < 10**25 else str(number)
    if abs(number) >= 10**21:
        digits = format(number.normalize().scaleb(-number.adjusted()), "f")
        return f"{digits if '.' in digits else digits + '.0'}e+{number.adjusted()}"
    return text if "." in text else text + ".0"


@frozen
class Put:
    """Record points, with or without instants."""

    entries: tuple[tuple[datetime | None, str | None], ...]
    now: datetime
    timed: datetime | None
    in_feed: bool

    async def do(self, model: Model, store: Any, feed_id: int) -> None:
        *points, current = self.entries
        stream = Datastream(
            id="t",
            datapoints=[Datapoint(at=at, value=value) for at, value in points],
            at=current[0],
            current_value=current[1],
        )
        timed = self.timed if self.in_feed else None
        if self.in_feed:
            document = Environment(updated=timed, datastreams=[stream])
            await store.update_feed(feed_id, document, self.now, allow)
        else:
            await store.update_datastream(feed_id, "t", stream, self.now, allow)
        kept = {}
        untimed = False
        for at, value in self.entries:
            if value is not None:
                instant = at or timed
                untimed = untimed or instant is None
                kept[instant or self.now] = value
        model.points.update(kept)
        model.stretch(kept.values())
        if kept:
            instant = self.now if untimed else max(kept)
            if untimed or model.current is None or instant >= model.current[0]:
                model.current = (instant, kept[instant])


@frozen
class Change:
    """Change one point, if it is there."""

    at: datetime
    value: str

    async def do(self, model: Model, store: Any, feed_id: int) -> None:
        changing = store.update_datapoint(feed_id, "t", self.at, self.value, MORNING, allow)
        if self.at not in model.points:
            with pytest.raises(Missing):
                await changing
            return
        await changing
        model.points[self.at] = self.value
        model.stretch([self.value])
        if model.current is not None and model.current[0] == self.at:
            model.current = (self.at, self.value)


@frozen
class Delete:
    """Remove a range of points."""

    start: datetime | None
    end: datetime | None

    async def do(self, model: Model, store: Any, feed_id: int) -> None:
        def covers(at: datetime) -> bool:
            return (self.start is None or self.start <= at) and (self.end is None or at <= self.end)

        deleting = store.delete_datapoints(feed_id, "t", self.start, self.end, MORNING, allow)
        gone = [at for at in model.points if covers(at)]
        if not gone and self.start is not None and self.start == self.end:
            with pytest.raises(Missing):
                await deleting
            return
        await deleting
        for at in gone:
            del model.points[at]
        if model.current is not None and covers(model.current[0]):
            model.current = max(model.points.items(), default=None)


@frozen
class Recreate:
    """Remove the datastream and make it again."""

    async def do(self, model: Model, store: Any, feed_id: int) -> None:
        await store.delete_datastream(feed_id, "t", allow)
        await store.create_datastreams(feed_id, [Datastream(id="t")], MORNING, allow)
        model.points, model.current, model.greatest, model.least = {}, None, None, None


ENTRIES = st.tuples(st.none() | INSTANTS, VALUES)
STEPS = st.one_of(
    st.builds(
        Put,
        st.tuples(
            st.lists(ENTRIES, max_size=8),
            st.tuples(st.none() | INSTANTS, st.none() | VALUES),
        ).map(lambda parts: (*parts[0], parts[1])),
        INSTANTS,
        st.none() | INSTANTS,
        st.booleans(),
    ),
    st.builds(Change, INSTANTS, VALUES),
    st.builds(Delete, st.none() | INSTANTS, st.none() | INSTANTS),
    INSTANTS.map(lambda instant: Delete(instant, instant)),
    st.just(Recreate()),
)
