"""Who asks, and whether they may.

Keys are kept as SHA-256 digests: they are long and random, so a slow password hash would protect
nothing and cost every request.  A digest is also what makes the look-up safe against timing: what
an attacker could learn byte by byte is the hash of their own guess.  Passwords are short and chosen by
people: `txbridge.hub.passwords` keeps those.

`may` decides about one feed and is a pure function, so that a write can ask it inside its own
transaction.

Source: Cosm API v2, "API keys", "API resource attributes".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime

from txbridge.errors import ConfigError
from txbridge.hub.passwords import Passwords
from txbridge.hub.store import FeedRecord, KeyRecord, Missing, Store
from txbridge.model.accounts import Key, Permission, Resource, Trigger
from txbridge.net.deferred import deferred
from txbridge.net.private_file import sync_folder
from txbridge.net.reactor import utc_now

__all__ = [
    "METHODS",
    "OWNER",
    "Accounts",
    "Credentials",
    "OwnerSetUp",
    "Principal",
    "digest_of",
    "generate_key",
    "is_unlimited",
    "may",
    "may_everything",
    "may_manage",
    "may_trigger",
    "set_up_owner",
]

OWNER = "owner"  # the login of the account that the first start makes, and that manages the others
KEY_FILE = "owner.key"
KEY_BYTES = 36  # 48 characters: within what clients of the time had room for (43 to 86)
CACHED_KEYS = 1000
CACHED_SECONDS = 5.0  # how long a key that was replaced may go on working

_GENERATED = re.compile(r"[A-Za-z0-9_-]{48}")
METHODS = ("get", "put", "post", "delete")
EVERYTHING = (Permission(access_methods=list(METHODS)),)


def digest_of(key: str) -> bytes:
    """What is stored of a key: its SHA-256."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def generate_key() -> str:
    """A new key."""
    return secrets.token_urlsafe(KEY_BYTES)


# ------------------------------------------------------------------------------------- who asks


@frozen
class Credentials:
    """What a request says about who asks.

    Attributes:
        key: The API key, or with `login` the password.
        login: The account's name, when HTTP Basic was used.
    """

    key: str = field(repr=False)
    login: str | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str], key_parameter: str | None) -> Self | None:
        """Find the credentials of a request.

        The first of these that is there and not blank counts: ``X-ApiKey``, ``X-PachubeApiKey``,
        the query parameter ``key``, HTTP Basic.  A browser adds the last by itself once somebody gave it
        a password, also to what another site has it send; so from there it does not count.

        Args:
            headers: Names in any case.
            key_parameter: The query parameter, or None.

        Returns:
            None when there are none.
        """
        named = {name.lower(): value.strip() for name, value in headers.items()}
        for key in (named.get("x-apikey"), named.get("x-pachubeapikey"), (key_parameter or "").strip()):
            if key:
                return cls(key)
        login, password = _basic(named.get("authorization", ""))
        return cls(password, login) if login and password and not _is_of_another_site(named) else None


def _is_of_another_site(headers: Mapping[str, str]) -> bool:
    """Whether a page that is not ours has a browser send this; it says so of whatever changes something."""
    origin = headers.get("origin")
    if origin is None:
        return False
    site = headers.get("sec-fetch-site")  # which knows it also where a proxy changes the host
    if site is not None:
        return site != "same-origin"
    return origin.lower().partition("://")[2] != headers.get("host", "").lower()


def _basic(authorization: str) -> tuple[str, str]:
    """Login and password of HTTP Basic; empty when it is something else."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        raw = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        return "", ""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    login, _, password = text.partition(":")
    return login.strip(), password.strip()


@frozen
class Principal:
    """Who asks, as far as their key says.

    Attributes:
        login: The account.
        private_access: Whether the key may see the account's private feeds.
        permissions: What the key may do.
        reference: What names the key; ``""`` for who came with a password.
    """

    login: str
    private_access: bool
    permissions: tuple[Permission, ...]
    reference: str = ""


class Accounts:
    """Finds out who asks.

    Keys that were found are remembered for a few seconds, because a device sends the same one with
    every request.  Unknown ones are not: whoever guesses must not fill our memory.

    Args:
        store: Where the keys are.
        clock: Says when a key has expired; its wall clock is asked.
        passwords: Checks the passwords of accounts; None lets nobody in with one.
    """

    def __init__(self, store: Store, clock: IReactorTime, passwords: Passwords | None = None) -> None:
        self._store = store
        self._clock = clock
        self._passwords = passwords
        self._found: OrderedDict[bytes, tuple[float, KeyRecord]] = OrderedDict()

    @deferred
    async def authenticate(self, credentials: Credentials | None) -> Principal | None:
        """Who has these credentials.

        Returns:
            None when nobody has: there are none, the key is unknown or has expired, or it is
            neither the named account's nor its password.

        Raises:
            StoreError: The storage failed, or too many passwords wait to be checked.
        """
        if credentials is None:
            return None
        record = await self._find(digest_of(credentials.key))
        if record is None or not _is_of(record, credentials.login):
            return await self._with_password(credentials)
        key = record.key
        if key.expires_at is not None and key.expires_at <= utc_now(self._clock):
            return None
        return Principal(
            record.login, key.private_access is True, tuple(key.permissions or ()), record.reference
        )

    async def _with_password(self, credentials: Credentials) -> Principal | None:
        login = credentials.login
        if login is None or self._passwords is None:
            return None
        try:
            hashed = (await self._store.read_account(login)).password
        except Missing:
            hashed = None
        is_right = await self._passwords.check(credentials.key, hashed)
        return Principal(login, True, EVERYTHING) if is_right else None

    def forget(self, digest: bytes) -> None:
        """A key was changed or removed: look it up again."""
        self._found.pop(digest, None)

    async def _find(self, digest: bytes) -> KeyRecord | None:
        now = self._clock.seconds()
        known = self._found.get(digest)
        if known is not None and 0 <= now - known[0] < CACHED_SECONDS:
            return known[1]
        record = await self._store.find_key(digest)
        self._found.pop(digest, None)
        if record is None or not hmac.compare_digest(record.digest, digest):
            return None
        self._found[digest] = (now, record)
        if len(self._found) > CACHED_KEYS:
            self._found.popitem(last=False)
        return record


def _is_of(record: KeyRecord, login: str | None) -> bool:
    return login is None or hmac.compare_digest(record.login.encode(), login.encode("utf-8", "surrogatepass"))


# --------------------------------------------------------------------------- whether they may


def may(
    principal: Principal,
    method: str,
    feed: FeedRecord,
    *,
    datastream_id: str | None = None,
    client: str = "",
    referer: str = "",
    interval: int | None = None,
) -> bool:
    """Whether somebody may do something to a feed.

    Args:
        principal: Who.
        method: ``get``, ``put``, ``post`` or ``delete``, in any case; subscribing is ``get``.
        feed: Its owner, ``private`` and id count.
        datastream_id: The one datastream that is meant; None means the feed.
        client: The address that asks.
        referer: The ``Referer`` header, ``""`` when there is none.
        interval: Seconds between the points of a history read; None when it is none.
    """
    method = method.lower()
    is_owner = principal.login == feed.owner
    if feed.environment.private is True and not (is_owner and principal.private_access):
        return False
    if method != "get" and not is_owner:
        return False
    return any(
        _allows(permission, method, client, referer, interval)
        and _reaches(permission.resources, feed.environment.id, datastream_id)
        for permission in principal.permissions
    )


def may_trigger(
    principal: Principal, method: str, trigger: Trigger, *, client: str = "", referer: str = ""
) -> bool:
    """Whether somebody may do something to a trigger, which is its owner's alone.

    Args:
        principal: Who.
        method: ``get``, ``put``, ``post`` or ``delete``, in any case.
        trigger: With its id and its owner's login.
        client: The address that asks.
        referer: The ``Referer`` header, ``""`` when there is none.
    """
    return principal.login == trigger.user and any(
        _allows(permission, method.lower(), client, referer, None)
        and (
            not permission.resources
            or any(resource.datastream_trigger_id == trigger.id for resource in permission.resources)
        )
        for permission in principal.permissions
    )


def may_manage(principal: Principal) -> bool:
    """Whether a key is limited in no way, so that it may see what belongs to no feed."""
    return any(
        set(METHODS) <= set(permission.access_methods) and is_unlimited(permission)
        for permission in principal.permissions
    )


def may_everything(principal: Principal) -> bool:
    """Whether a key may do all that its account may, so that it can give keys and passwords away."""
    return principal.private_access and may_manage(principal)


def is_unlimited(permission: Permission) -> bool:
    """Whether a permission is good for everything of its account, from anywhere."""
    return not (
        permission.resources or permission.source_ip or permission.referer or permission.minimum_interval
    )


def _allows(permission: Permission, method: str, client: str, referer: str, interval: int | None) -> bool:
    """Whether everything but the resources of a permission agrees; a blank constraint is none."""
    if method not in (known.lower() for known in permission.access_methods):
        return False
    if permission.source_ip and not _is_from(client, permission.source_ip):
        return False
    if permission.referer and not _refers(referer, permission.referer):
        return False
    finest = permission.minimum_interval
    return interval is None or finest is None or interval >= finest


def _reaches(resources: Sequence[Resource], feed_id: int | None, datastream_id: str | None) -> bool:
    return not resources or any(
        resource.feed_id is not None
        and resource.feed_id == feed_id
        and resource.datastream_id in (None, datastream_id)
        for resource in resources
    )


def _is_from(client: str, allowed: str) -> bool:
    """Whether an address is this one, or in this network; what is not an address never is."""
    try:
        address, network = ip_address(client), ip_network(allowed.strip(), strict=False)
    except ValueError:
        return False
    return _plain(address) in network


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 client of an IPv6 socket under its own address."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _refers(referer: str, allowed: str) -> bool:
    """Whether a Referer header names this host; a sub-domain is another host."""
    host = _host(allowed)
    return host is not None and host == _host(referer)


def _host(referer: str) -> str | None:
    """The host of a URL, or of a bare host name; None when there is none."""
    text = referer.strip()
    try:
        return urlsplit(text if "//" in text else f"//{text}").hostname
    except ValueError:
        return None


# ---------------------------------------------------------------------------------- first start


@frozen
class OwnerSetUp:
    """What the start found or made.

    Attributes:
        login: The owner's account.
        created: This was the first start.
        replaced: The key given now is not the one there was.
        key_file: Where a generated key can be read; None when the key was given.
    """

    login: str
    created: bool
    replaced: bool
    key_file: Path | None


@deferred
async def set_up_owner(store: Store, data_dir: Path, api_key: str | None) -> OwnerSetUp:
    """Make sure that the owner has an account and a key.

    The first start generates a key and writes it to ``owner.key``, readable by this user only, and
    then makes the account; one that was interrupted in between goes on with the key in the file.
    A key that is given is used instead, now and when it is changed later; a file with another key,
    which then works no longer, is removed.

    Args:
        store: Where the account is.
        data_dir: Where the key file is; the folder must exist.
        api_key: The key to use; None generates one.

    Raises:
        ConfigError: The given key is blank, or the key file cannot be used.
        StoreError: The storage failed.
    """
    path = data_dir / KEY_FILE
    is_first = not await store.has_accounts()
    if api_key is None:
        if not is_first:
            return OwnerSetUp(OWNER, created=False, replaced=False, key_file=path if path.is_file() else None)
        await store.create_account(OWNER, _owner_record(_key_from_file(path)))
        return OwnerSetUp(OWNER, created=True, replaced=False, key_file=path)
    given = api_key.strip()
    if not given:
        raise ConfigError(["the owner's API key is blank: give one, or leave it out to have one generated"])
    record = _owner_record(given)
    known = None if is_first else await store.find_key(record.digest)
    replaced = not is_first and (known is None or known.login != OWNER)
    if is_first:
        await store.create_account(OWNER, record)
    elif replaced:
        await store.replace_keys(OWNER, record)
    if not _holds(path, given):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError([f"cannot remove the old key's file {path}: {error.strerror}"]) from error
    return OwnerSetUp(OWNER, created=is_first, replaced=replaced, key_file=None)


def _owner_record(key: str) -> KeyRecord:
    everything = Key(label=OWNER, private_access=True, permissions=list(EVERYTHING))
    return KeyRecord(digest_of(key), OWNER, everything)


def _holds(path: Path, key: str) -> bool:
    """Whether the key that is given is the one in the key file, which may be where it was read."""
    try:
        return path.is_file() and path.read_text(encoding="utf-8", errors="replace").strip() == key
    except OSError:
        return False


def _key_from_file(path: Path) -> str:
    """The key that an interrupted first start left, or a new one, safely on the disk.

    A few milliseconds of blocking, once in the life of a store, before anything is served.
    """
    try:
        left = _read_private(path)
        if left is not None and _GENERATED.fullmatch(left):
            return left
        path.unlink(missing_ok=True)  # it was interrupted while writing
        key = generate_key()
        _write_private(path, key)
    except OSError as error:
        raise ConfigError([f"cannot keep the owner's key in {path}: {error.strerror}"]) from error
    return key


def _read_private(path: Path) -> str | None:
    """The text of a file that nobody else could have read or written; None when there is none.

    Raises:
        ConfigError: Somebody else could.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(descriptor, encoding="ascii", errors="replace") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_mode & 0o077 or state.st_uid != os.geteuid():
            raise ConfigError(
                [f"{path} was there before the store and is not private to this user: remove it"]
            )
        return file.read(1000).strip()


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
    sync_folder(path.parent)
