"""Who may do what: users, keys and their permissions, and triggers.

``None`` means *absent* everywhere.  Keys and passwords never show in ``repr`` or ``str``.

Source: Cosm API v2, "API resource attributes", "API keys", "Triggers"; names of txPachube and txcosm.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from attrs import define, field

from txbridge.model.encoding import Structure
from txbridge.model.instants import as_instant, shorten

__all__ = [
    "Key",
    "KeyList",
    "Permission",
    "Resource",
    "Trigger",
    "TriggerList",
    "User",
    "UserList",
    "as_flag",
    "as_integer",
]

_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def as_flag(value: bool | str | int | None) -> bool | None:
    """A yes or no; ``"true"``, ``"false"``, ``"1"`` and ``"0"`` in any case are accepted.

    Raises:
        ValueError: Something else.
    """
    if value is None or isinstance(value, bool):
        return value
    flag = _FLAGS.get(str(value).strip().lower())
    if flag is None:
        raise ValueError(f"{shorten(str(value))!r} is neither true nor false")
    return flag


def as_integer(value: int | str | None) -> int | None:
    """A whole number of 64 bits, which is what databases and other clients have; its text is accepted.

    Raises:
        ValueError: Something else.
    """
    if value is None:
        return None
    number = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and len(value) <= 20:
        text = value.strip()
        if text.removeprefix("-").isascii() and text.removeprefix("-").isdigit():
            number = int(text)
    if number is None:
        raise ValueError(f"{shorten(str(value))!r} is not a whole number")
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{shorten(str(value))!r} is not a whole number of 64 bits")
    return number


def _as_text(value: str | int | float | None) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


@define(kw_only=True, repr=False)
class Trigger(Structure):
    """Calls a URL when a datastream's value does something.

    Attributes:
        id: Given by the server.
        url: Whom to call.
        trigger_type: ``gt gte lt lte eq change frozen live``.
        threshold_value: What to compare with, as text.
        environment_id: The feed's number.
        stream_id: The datastream.
        user: The owner's login; read-only.
        notified_at: When it last called; None if never.
    """

    id: int | None = field(default=None, converter=as_integer)
    url: str | None = None
    trigger_type: str | None = None
    threshold_value: str | None = field(default=None, converter=_as_text)
    environment_id: int | None = field(default=None, converter=as_integer)
    stream_id: str | None = field(default=None, converter=_as_text)
    user: str | None = None
    notified_at: datetime | None = field(default=None, converter=as_instant)

    Comparisons: ClassVar[tuple[str, ...]] = ("gt", "gte", "lt", "lte", "eq")
    """Types that compare a value with the threshold."""

    Watches: ClassVar[tuple[str, ...]] = ("change", "frozen", "live")
    """Types that need no threshold."""


@define(kw_only=True, repr=False)
class TriggerList(Structure):
    """All triggers a key may see.

    Attributes:
        triggers: The triggers.
    """

    triggers: list[Trigger] = field(factory=list)


@define(kw_only=True, repr=False)
class Resource(Structure):
    """What a permission is limited to.

    Attributes:
        feed_id: A feed with all that is in it.
        datastream_id: Only this datastream of that feed.
        datastream_trigger_id: A trigger.
    """

    feed_id: int | None = field(default=None, converter=as_integer)
    datastream_id: str | None = field(default=None, converter=_as_text)
    datastream_trigger_id: int | None = field(default=None, converter=as_integer)


@define(kw_only=True, repr=False)
class Permission(Structure):
    """One thing a key may do; every constraint that is present must hold.

    Attributes:
        access_methods: Of ``get``, ``put``, ``post``, ``delete``.
        label: A name for people.
        referer: The only host that may refer to us.
        source_ip: The only address that may ask.
        minimum_interval: The finest history that may be read, in seconds between points.
        resources: What it is limited to; empty reaches everything its owner can reach.
    """

    access_methods: list[str] = field(factory=list)
    label: str | None = None
    referer: str | None = None
    source_ip: str | None = None
    minimum_interval: int | None = field(default=None, converter=as_integer)
    resources: list[Resource] = field(factory=list)


@define(kw_only=True, repr=False)
class Key(Structure):
    """An API key.

    Attributes:
        api_key: The key itself.
        label: A name for people.
        expires_at: When it stops working; None is never.
        private_access: Whether it may see its owner's private feeds.
        permissions: What it may do; None when nothing is said about them.
        user: The owner's login.
    """

    SECRETS: ClassVar[frozenset[str]] = frozenset({"api_key"})

    api_key: str | None = None
    label: str | None = None
    expires_at: datetime | None = field(default=None, converter=as_instant)
    private_access: bool | None = field(default=None, converter=as_flag)
    permissions: list[Permission] | None = None
    user: str | None = None


@define(kw_only=True, repr=False)
class KeyList(Structure):
    """All keys of an account.

    Attributes:
        keys: The keys.
    """

    SECRETS: ClassVar[frozenset[str]] = frozenset({"api_key"})

    keys: list[Key] = field(factory=list)


@define(kw_only=True, repr=False)
class User(Structure):
    """An account.

    Attributes:
        login: The account's name.
        email: Address.
        api_key: The account's own key.
        password: Only ever sent, never read.
        full_name: As a person writes it.
        first_name: The same.
        last_name: The same.
        organisation: The same.
        about: The same.
        website: URL.
        time_zone: A place name such as ``"London"``.
        roles: What the account is.
        creatable_roles: What accounts it may create.
        deliver_email: Whether mail may be sent.
        display_activity: Whether the profile shows activity.
        display_information: Whether the profile shows information.
        display_stats: Whether the profile shows counts.
        receive_forum_notifications: Whether the forum may write.
        subscribed_to_mailings: Whether mailings go out.
        feeds_count: How many feeds there are.
        datastreams_count: How many datastreams there are.
        datastreams_allowed: How many there may be.
        daily_api_access_count: Requests today.
        total_api_access_count: Requests ever.
    """

    SECRETS: ClassVar[frozenset[str]] = frozenset({"api_key", "password"})

    login: str | None = None
    email: str | None = None
    api_key: str | None = None
    password: str | None = None
    full_name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    organisation: str | None = None
    about: str | None = None
    website: str | None = None
    time_zone: str | None = None
    roles: list[str] = field(factory=list)
    creatable_roles: list[str] = field(factory=list)
    deliver_email: bool | None = field(default=None, converter=as_flag)
    display_activity: bool | None = field(default=None, converter=as_flag)
    display_information: bool | None = field(default=None, converter=as_flag)
    display_stats: bool | None = field(default=None, converter=as_flag)
    receive_forum_notifications: bool | None = field(default=None, converter=as_flag)
    subscribed_to_mailings: bool | None = field(default=None, converter=as_flag)
    feeds_count: int | None = field(default=None, converter=as_integer)
    datastreams_count: int | None = field(default=None, converter=as_integer)
    datastreams_allowed: int | None = field(default=None, converter=as_integer)
    daily_api_access_count: int | None = field(default=None, converter=as_integer)
    total_api_access_count: int | None = field(default=None, converter=as_integer)


@define(kw_only=True, repr=False)
class UserList(Structure):
    """All accounts a key may see.

    Attributes:
        users: The accounts.
    """

    SECRETS: ClassVar[frozenset[str]] = frozenset({"api_key", "password"})

    users: list[User] = field(factory=list)
