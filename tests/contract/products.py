"""What every storage of products promises, as tests: subclass `ProductsContract` and say how to open one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import DeferredList

from tests.contract.beside import BesideAStore
from tests.contract.store import MORNING, allow
from txbridge.hub import sqlite_products
from txbridge.hub.products import Activated, activation_code, device_key
from txbridge.hub.store import AccountFull, Full, Missing, Taken
from txbridge.model.structures import Datastream, Environment, Unit

__all__ = ["ProductsContract"]

LATER = MORNING + timedelta(hours=1)
DEFAULTS = Environment(
    title="Thermostat",
    private=True,
    tags=["room"],
    datastreams=[Datastream(id="t", unit=Unit(symbol="C")), Datastream(id="battery", tags=["V"])],
)


class ProductsContract(BesideAStore):
    """The contract that `txbridge.hub.products` states."""

    @pytest.fixture
    def products(self, stores: tuple[Any, Any]) -> Any:
        """The products."""
        return stores[1]

    async def device(self, products: Any, serial: str = "A1", **members: Any) -> Any:
        """A device of a new product."""
        product = await products.create_product("ann", "Thermostat", MORNING, **members)
        (device,) = await products.create_devices(product.id, [serial], MORNING)
        return device

    async def test_a_product_is_kept_with_what_its_feeds_are_made_from(self, products):
        made = await products.create_product(
            "ann", "Thermostat", MORNING, description="For a wall", feed_defaults=DEFAULTS
        )
        assert (made.state, made.description, made.devices, made.activated) == ("develop", "For a wall", 0, 0)
        assert await products.read_product(made.id) == made
        assert made.feed_defaults == DEFAULTS
        other = await products.create_product("ann", "Thermostat", MORNING)
        assert other.id != made.id
        assert other.secret != made.secret
        assert len(made.secret) == 20

    async def test_an_update_changes_what_it_names(self, products):
        made = await products.create_product("ann", "Old", MORNING, description="x", feed_defaults=DEFAULTS)
        await products.update_product(made.id, name="New", state="deploy")
        changed = evolve(made, name="New", state="deploy")
        assert await products.read_product(made.id) == changed
        await products.update_product(made.id, description="", feed_defaults=Environment(title="y"))
        expected = evolve(changed, description=None, feed_defaults=Environment(title="y"))
        assert await products.read_product(made.id) == expected

    async def test_products_are_listed_by_pages_for_their_owner(self, products):
        made = [await products.create_product("ann", str(number), MORNING) for number in range(3)]
        await products.create_product("bob", "his", MORNING)
        assert await products.list_products("ann", 0, 2) == (3, made[:2])
        assert await products.list_products("ann", 2, 2) == (3, made[2:])
        assert await products.list_products("nobody", 0, 2) == (0, [])

    async def test_an_account_has_only_so_many_products(self, products, monkeypatch):
        monkeypatch.setattr(sqlite_products, "MAX_PRODUCTS", 1)
        await products.create_product("ann", "x", MORNING)
        with pytest.raises(Full):
            await products.create_product("ann", "y", MORNING)
        await products.create_product("bob", "y", MORNING)

    async def test_what_is_not_there_is_missing(self, products):
        made = await products.create_product("ann", "x", MORNING)
        asks = [
            (lambda: products.create_product("nobody", "x", MORNING), "account"),
            (lambda: products.read_product("x"), "product"),
            (lambda: products.update_product("x", name="y"), "product"),
            (lambda: products.delete_product("x"), "product"),
            (lambda: products.create_devices("x", ["A1"], MORNING), "product"),
            (lambda: products.list_devices("x", 0, 1), "product"),
            (lambda: products.read_device(made.id, "A1"), "device"),
            (lambda: products.rename_device(made.id, "A1", "A2"), "device"),
            (lambda: products.delete_device(made.id, "A1"), "device"),
            (lambda: products.activate("0" * 40, b"d" * 32, MORNING), "device"),
        ]
        for ask, what in asks:
            with pytest.raises(Missing) as raised:
                await ask()
            assert raised.value.what == what
        assert await products.find_device("0" * 40) is None

    async def test_devices_are_added_all_or_none_and_are_found_by_their_codes(self, products):
        product = await products.create_product("ann", "x", MORNING)
        made = await products.create_devices(product.id, ["A1", "B2"], MORNING)
        assert [one.code for one in made] == [activation_code(product.secret, s) for s in ("A1", "B2")]
        for serials in (["C3", "A1"], ["C3", "C3"]):
            with pytest.raises(Taken) as raised:
                await products.create_devices(product.id, serials, MORNING)
            assert raised.value.id == serials[1]
        assert await products.list_devices(product.id, 0, 10) == (2, made)
        assert await products.list_devices(product.id, 1, 10) == (2, made[1:])
        assert await products.find_device(made[1].code) == await products.read_device(product.id, "B2")
        assert (await products.read_product(product.id)).devices == 2

    async def test_a_product_has_only_so_many_devices(self, products, monkeypatch):
        monkeypatch.setattr(sqlite_products, "MAX_DEVICES", 2)
        product = await products.create_product("ann", "x", MORNING)
        await products.create_devices(product.id, ["A1"], MORNING)
        with pytest.raises(Full):
            await products.create_devices(product.id, ["B2", "C3"], MORNING)
        await products.create_devices(product.id, ["B2"], MORNING)

    async def test_an_activation_makes_the_feed_and_the_key(self, store, products):
        device = await self.device(products, feed_defaults=DEFAULTS)
        done = await products.activate(device.code, b"d" * 32, LATER)
        assert (done.datastreams, done.replaced) == (("battery", "t"), None)
        assert done.written.created == ("t", "battery")
        record = await store.read_feed(done.feed_id)
        feed = record.environment
        assert (record.owner, feed.title, feed.private, feed.tags) == ("ann", "Thermostat", True, ["room"])
        assert (feed.product_id, feed.device_serial) == (device.product_id, "A1")
        assert feed.datastreams["t"].unit == Unit(symbol="C")
        key = await store.find_key(b"d" * 32)
        assert (key.login, key.key) == ("ann", device_key("A1", done.feed_id))
        assert done.device == evolve(
            device, activated=LATER, feed_id=done.feed_id, key_reference=key.reference
        )
        assert await products.find_device(device.code) == done.device
        assert (await products.read_product(device.product_id)).activated == 1

    async def test_a_feed_goes_on_being_its_device_s_when_it_is_written(self, store, products):
        device = await self.device(products)
        feed_id = (await products.activate(device.code, b"d" * 32, MORNING)).feed_id
        await store.update_feed(feed_id, Environment(title="x", device_serial="y"), LATER, allow)
        feed = (await store.read_feed(feed_id)).environment
        assert (feed.title, feed.product_id, feed.device_serial) == ("x", device.product_id, "A1")

    async def test_a_feed_without_a_title_has_the_device_s_names(self, store, products):
        device = await self.device(products)
        done = await products.activate(device.code, b"d" * 32, MORNING)
        assert (await store.read_feed(done.feed_id)).environment.title == "Thermostat A1"

    async def test_a_device_is_activated_once_however_many_try(self, store, products):
        device = await self.device(products)
        tries = [products.activate(device.code, bytes([n]) * 32, MORNING) for n in range(5)]
        results = await DeferredList(tries, consumeErrors=True)
        assert [success for success, _ in results] == [True, False, False, False, False]
        for _, failure in results[1:]:
            assert failure.check(Activated)
        assert (await store.read_account("ann")).user.feeds_count == 1
        assert await store.find_key(bytes([1]) * 32) is None

    async def test_an_account_without_room_for_a_feed_activates_nothing(self, store, products):
        device = await self.device(products)
        store.max_feeds = 0
        with pytest.raises(AccountFull):
            await products.activate(device.code, b"d" * 32, MORNING)
        assert (await products.read_device(device.product_id, "A1")).activated is None
        store.max_feeds = 1
        done = await products.activate(device.code, b"d" * 32, MORNING)
        again = await products.activate(device.code, b"e" * 32, MORNING, again=True)
        assert again.feed_id == done.feed_id

    async def test_activating_again_replaces_the_key(self, store, products):
        device = await self.device(products)
        first = await products.activate(device.code, b"d" * 32, MORNING)
        again = await products.activate(device.code, b"e" * 32, LATER, again=True)
        assert (again.feed_id, again.written, again.replaced) == (first.feed_id, None, b"d" * 32)
        assert again.device.activated == MORNING
        assert await store.find_key(b"d" * 32) is None
        assert await store.find_key(b"e" * 32) is not None

    async def test_a_device_whose_feed_is_gone_gets_a_new_one_only_by_activating_again(self, store, products):
        device = await self.device(products)
        first = await products.activate(device.code, b"d" * 32, MORNING)
        await store.delete_feed(first.feed_id, allow)
        known = await products.read_device(device.product_id, "A1")
        assert (known.feed_id, known.activated) == (None, MORNING)
        with pytest.raises(Activated):
            await products.activate(device.code, b"e" * 32, LATER)
        again = await products.activate(device.code, b"e" * 32, LATER, again=True)
        assert again.feed_id != first.feed_id
        assert again.written.feed_id == again.feed_id
        assert (await store.find_key(b"e" * 32)).key == device_key("A1", again.feed_id)

    async def test_a_key_that_is_removed_or_renewed_elsewhere_is_no_longer_the_device_s(
        self, store, products
    ):
        device = await self.device(products)
        done = await products.activate(device.code, b"d" * 32, MORNING)
        await store.update_key(b"d" * 32, device_key("A1", done.feed_id), b"e" * 32)
        known = await products.read_device(device.product_id, "A1")
        assert known.key_reference == done.device.key_reference
        await store.delete_key(b"e" * 32)
        assert (await products.read_device(device.product_id, "A1")).key_reference is None

    async def test_a_device_is_renamed_until_it_is_activated(self, products):
        device = await self.device(products)
        await products.create_devices(device.product_id, ["B2"], MORNING)
        secret = (await products.read_product(device.product_id)).secret
        with pytest.raises(Taken):
            await products.rename_device(device.product_id, "A1", "B2")
        renamed = await products.rename_device(device.product_id, "A1", "C3")
        assert renamed == evolve(device, serial="C3", code=activation_code(secret, "C3"))
        assert await products.find_device(device.code) is None
        assert await products.find_device(renamed.code) == renamed
        await products.activate(renamed.code, b"d" * 32, MORNING)
        assert (await products.rename_device(device.product_id, "C3", "C3")).serial == "C3"
        with pytest.raises(Activated):
            await products.rename_device(device.product_id, "C3", "D4")

    async def test_removing_a_device_removes_its_key_and_leaves_the_feed(self, store, products):
        device = await self.device(products)
        assert await products.delete_device(device.product_id, "A1") is None
        (device,) = await products.create_devices(device.product_id, ["A1"], MORNING)
        done = await products.activate(device.code, b"d" * 32, MORNING)
        assert await products.delete_device(device.product_id, "A1") == b"d" * 32
        assert await store.find_key(b"d" * 32) is None
        assert (await store.read_feed(done.feed_id)).environment.device_serial == "A1"
        assert await products.find_device(device.code) is None

    async def test_removing_a_product_removes_its_devices_and_their_keys(self, store, products):
        device = await self.device(products)
        await products.create_devices(device.product_id, ["B2"], MORNING)
        done = await products.activate(device.code, b"d" * 32, MORNING)
        other = await self.device(products)
        await products.activate(other.code, b"o" * 32, MORNING)
        assert await products.delete_product(device.product_id) == [b"d" * 32]
        assert await store.find_key(b"d" * 32) is None
        assert await store.find_key(b"a" * 32) is not None
        assert await store.find_key(b"o" * 32) is not None
        assert await products.find_device(device.code) is None
        assert (await store.read_feed(done.feed_id)).owner == "ann"

    async def test_an_account_goes_with_its_products(self, store, products):
        device = await self.device(products)
        await products.activate(device.code, b"d" * 32, MORNING)
        await store.delete_account("ann")
        assert await products.find_device(device.code) is None
        assert await store.find_key(b"d" * 32) is None
