"""The contract of the hub's storage.

A store keeps accounts, keys, feeds, datastreams and history, and it is the only place an
acknowledgement comes from: the Deferred of a write fires after the write is **durable**, and
every write is all or nothing.  SQLite stands behind it out of the box; anything else that
passes ``tests/contract/store.py`` may.

*Points* are identified by (feed, datastream, instant to the microsecond); writing one again
overwrites it.  *Current* is the newest point by instant, except that a value written without
any instant always becomes current.  The extremes of a datastream grow with every numeric
value.

*Triggers* are judged inside the write that changes a current value: what fires is a notice, stored in
the same transaction, so none is lost and none is made up.  One fires at most every `TRIGGER_SPACING`
seconds.

*Guards*: a write gets a callable that is shown the feed it is about to touch, inside the
transaction.  What it raises is what the write fails with, and nothing is changed.  So the
question "may this key do this to this feed" and the write are one step.

*Snapshots*: when ``watched`` says that somebody listens to a feed, a write gives back the
feed as it stood right after it, so that two writes sharing a commit are still two updates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from txbridge.model.accounts import Key, Trigger, User
from txbridge.model.structures import Datapoint, Datastream, Environment

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = [
    "KEPT_NOTICES",
    "MAX_DATASTREAMS",
    "MAX_FEEDS",
    "TRIGGER_SPACING",
    "AccountFull",
    "AccountRecord",
    "DatastreamHistory",
    "FeedRecord",
    "FeedSearch",
    "Full",
    "Guard",
    "HistoryQuery",
    "KeyRecord",
    "Missing",
    "Notice",
    "NoticeRecord",
    "Store",
    "Taken",
    "TriggerRecord",
    "Written",
]


MAX_FEEDS = 10_000
"""The most feeds of an account, unless the hub is told otherwise.  Deleting it deletes them all at once."""

MAX_DATASTREAMS = 10_000
"""The most datastreams of a feed.  Whoever reads the feed, or is pushed it, gets all of them.

The service counted them by account (``datastreams_allowed``) and said no number for a feed.
"""


TRIGGER_SPACING = 5
"""Seconds between two notices of one trigger, at least.  Source: "Triggers"."""

KEPT_NOTICES = 100
"""The lines of a trigger's delivery log that are kept."""


class Missing(Exception):
    """There is no such feed, datastream or datapoint.

    Attributes:
        what: ``"account"``, ``"key"``, ``"feed"``, ``"datastream"``, ``"datapoint"``, ``"trigger"``,
            ``"project"``, ``"device"`` or ``"token"``.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Taken(Exception):
    """There is one with this id already.

    Attributes:
        id: The datastream id or login.
    """

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.id = id


class Full(Exception):
    """The feed cannot have so many datastreams: see `MAX_DATASTREAMS`."""


class AccountFull(Full):
    """The account cannot have more feeds.

    Attributes:
        most: How many it can have.
    """

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most


@frozen
class KeyRecord:
    """A key as it is stored: its digest, never its text.

    Attributes:
        digest: SHA-256 of the key.
        login: The owner.
        key: Label, expiry, private access and permissions; its ``api_key`` is None.
        reference: What names the key where its text is not known; the store chooses it.
    """

    digest: bytes = field(repr=False)
    login: str
    key: Key
    reference: str = ""


@frozen
class AccountRecord:
    """An account as it is stored.

    Attributes:
        user: The login and what the account says of itself; no key and no password, and how many
            feeds and datastreams it has.
        password: The hash of its password (see `txbridge.hub.passwords`), or None if it has none.
    """

    user: User
    password: str | None = field(default=None, repr=False)


@frozen
class FeedRecord:
    """A feed with what its document does not say.

    Attributes:
        owner: Login of the owner.
        environment: The feed: metadata, and its datastreams with current values, by id.
            ``private`` is always True or False; ``tags`` are sorted; members that depend on
            the request (``feed``, ``creator``, ``status``, ``user``) are None.
        written: Whether it was updated or made with a value; a feed that was only made is ``frozen``.
    """

    owner: str
    environment: Environment
    written: bool = False


Guard = Callable[[FeedRecord], None]
"""Called inside a write's transaction with the feed's metadata (no datastreams); raises to refuse."""


@frozen
class Written:
    """What a write did.

    Attributes:
        feed_id: The feed.
        changed: Datastreams whose current value was written or that recorded points at or after their
            previous newest point.
        created: Datastreams that are new.
        removed: Datastreams that are gone.
        recorded: Datastream id -> every point this write recorded, ascending, with its instant.
        snapshot: The feed right after the write, when it is watched; None otherwise, and when it was deleted.
        deleted: Whether the feed itself is gone.
        fired: How many triggers it made fire; the notices of it are in the store.
    """

    feed_id: int
    changed: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    recorded: Mapping[str, Sequence[Datapoint]] = field(factory=dict)
    snapshot: FeedRecord | None = None
    deleted: bool = False
    fired: int = 0


@frozen
class TriggerRecord:
    """A trigger as it is stored.

    Attributes:
        trigger: All of it; ``user`` is the owner's login.
        frozen: Of one that watches for silence: whether its datastream is silent.
    """

    trigger: Trigger
    frozen: bool = False


@frozen
class Notice:
    """What a trigger that fired has to say, and whom.

    Attributes:
        id: Its number.
        trigger: The trigger.
        environment: The feed when it fired, with the one datastream.
        at: When it fired.
        tries: How often it was tried to be delivered.
    """

    id: int
    trigger: Trigger
    environment: Environment
    at: datetime
    tries: int


@frozen
class NoticeRecord:
    """A line of a trigger's delivery log.

    Attributes:
        at: When it fired.
        value: What the datastream's value was then.
        tries: How often it was tried to be delivered.
        outcome: What became of the last try; ``""`` before the first.
        due: When it is tried next; None when it will not be tried again.
    """

    at: datetime
    value: str | None
    tries: int
    outcome: str
    due: datetime | None

    @property
    def done(self) -> bool:
        """Whether it will not be tried again."""
        return self.due is None


@frozen
class HistoryQuery:
    """Which points of the history.

    Attributes:
        start: The first instant, inclusive.
        end: The last instant, inclusive.
        limit: The most points per datastream; the earliest are kept.
        interval: 0 for every stored point, else seconds between sampling instants on a grid
            that starts at midnight UTC.
        discrete: With an interval: points exactly on the grid, each with the value of the last
            stored point at or before it, however old.  Without: the stored point itself, if it
            lies within the interval before the grid instant and not before ``start``.
        find_previous: Also the newest point before ``start``, in front.
        function: With an interval: ``"average" "min" "max" "sum"`` of the numeric points of
            each interval instead of its last point, at the grid instant that ends it.
        skip: How many points of each datastream to leave out first (old-style paging).
    """

    start: datetime
    end: datetime
    limit: int = 100
    interval: int = 0
    discrete: bool = False
    find_previous: bool = False
    function: str | None = None
    skip: int = 0


@frozen
class DatastreamHistory:
    """Points of one datastream.

    Attributes:
        id: The datastream.
        datapoints: Ascending by instant.
    """

    id: str
    datapoints: Sequence[Datapoint]


@frozen
class FeedSearch:
    """Which feeds, in which order, which page.

    Attributes:
        login: Who asks: their private feeds are visible, nobody else's are.
        private_access: Whether the asking key may see its owner's private feeds.
        feed_ids: Only these, when the key is limited to some.
        text: Case-insensitive substring of title, description, tags, location name, or a datastream's
            id or tags.
        tag: Feeds that have it, or have a datastream that has it.
        user: Feeds of this login.
        units: Feeds with a datastream of this unit (label or symbol, case-insensitive).
        live_since: Only feeds updated at or after this instant; having been made is no update.
        frozen_since: Only feeds not updated since this instant.
        near: (latitude, longitude, kilometres).
        order: ``"created_at"``, ``"retrieved_at"`` (last update) or ``"relevance"``; all descending.
        full: Whether datastreams are wanted.
        offset: How many to skip.
        limit: How many to give.
    """

    login: str
    private_access: bool
    feed_ids: tuple[int, ...] | None = None
    text: str | None = None
    tag: str | None = None
    user: str | None = None
    units: str | None = None
    live_since: datetime | None = None
    frozen_since: datetime | None = None
    near: tuple[float, float, float] | None = None
    order: str = "retrieved_at"
    full: bool = True
    offset: int = 0
    limit: int = 50


class Store(Protocol):
    """What the hub needs of its storage.

    Every write fires after it is durable.  Every method fails with `StoreError` when the
    storage itself fails (disk full, file damaged), and then nothing of that write is kept.
    Documents given to writes are already checked against the rules of the data model.
    """

    watched: Callable[[int], bool]
    """Whether anybody listens to a feed; set by the hub; may be called from any thread."""

    max_feeds: int
    """The most feeds of an account; set by the hub.  Those that there are stay."""

    def close(self) -> Deferred[None]:
        """Finish what was accepted, then close."""

    def create_account(
        self, login: str, record: KeyRecord | None, account: AccountRecord | None = None
    ) -> Deferred[None]:
        """Make an account.

        Args:
            login: Its name.
            record: Its first key, or None.
            account: What it says of itself, and its password; None says nothing.

        Raises:
            Taken: There is such an account.
        """

    def has_accounts(self) -> Deferred[bool]:
        """Whether this store was ever set up."""

    def read_account(self, login: str) -> Deferred[AccountRecord]:
        """An account.

        Raises:
            Missing: There is no such account.
        """

    def list_accounts(self) -> Deferred[list[AccountRecord]]:
        """All accounts, by login."""

    def update_account(self, account: AccountRecord) -> Deferred[None]:
        """Merge into the account of this login: members that are None stay as they are.

        Raises:
            Missing: There is no such account.
        """

    def delete_account(self, login: str) -> Deferred[list[Written]]:
        """Remove an account with its keys and its feeds; gives what happened to each feed.

        Raises:
            Missing: There is no such account.
        """

    def find_key(self, digest: bytes) -> Deferred[KeyRecord | None]:
        """The key with this digest."""

    def find_key_by_reference(self, reference: str) -> Deferred[KeyRecord | None]:
        """The key with this reference."""

    def list_keys(self, login: str, feed_id: int | None = None) -> Deferred[list[KeyRecord]]:
        """The keys of an account, oldest first; of those only the ones limited to a feed, if one is given."""

    def create_key(self, record: KeyRecord) -> Deferred[None]:
        """Add a key to an account; the record's reference is not looked at.

        Raises:
            Missing: There is no such account.
        """

    def update_key(self, digest: bytes, key: Key, new_digest: bytes | None = None) -> Deferred[None]:
        """Put this in the place of what a key was, and if a new digest is given, in that of its text.

        Raises:
            Missing: There is no such key.
        """

    def delete_key(self, digest: bytes) -> Deferred[None]:
        """Remove a key.

        Raises:
            Missing: There is no such key.
        """

    def replace_keys(self, login: str, record: KeyRecord) -> Deferred[None]:
        """Make this the only key of an account.

        Raises:
            Missing: There is no such account.
        """

    def create_feed(self, owner: str, environment: Environment, now: datetime) -> Deferred[Written]:
        """Make a feed with the datastreams and values of this document.

        Raises:
            AccountFull: The account has ``max_feeds`` already.
            Full: The datastreams are too many.
        """

    def read_feed(self, feed_id: int, datastreams: Sequence[str] | None = None) -> Deferred[FeedRecord]:
        """A feed with all its datastreams, or only these; ids that do not exist are left out.

        Raises:
            Missing: There is no such feed.
        """

    def update_feed(
        self,
        feed_id: int,
        environment: Environment,
        now: datetime,
        guard: Guard,
        removing: Guard | None = None,
    ) -> Deferred[Written]:
        """Merge this document into a feed: members that are None stay as they are.

        With ``removing`` datastreams that the document does not name are removed with their history;
        it is asked as a guard when there are some.

        Datastreams that do not exist are created.  A datastream's ``current_value`` is recorded
        at its ``at``, else at the document's ``updated``, else at ``now`` (and then always
        becomes current); its ``datapoints`` are recorded too.  A mobile feed whose position
        changes gets its previous position as a waypoint.

        Raises:
            Missing: There is no such feed.
            Full: With the new datastreams it would have too many; nothing is changed.
        """

    def delete_feed(self, feed_id: int, guard: Guard) -> Deferred[Written]:
        """Remove a feed with all its history.

        Raises:
            Missing: There is no such feed.
        """

    def create_datastreams(
        self, feed_id: int, datastreams: Sequence[Datastream], now: datetime, guard: Guard
    ) -> Deferred[Written]:
        """Add datastreams with their values.

        Raises:
            Missing: There is no such feed.
            Taken: One of them exists; none is created.
            Full: With them the feed would have too many; none is created.
        """

    def update_datastream(
        self, feed_id: int, datastream_id: str, datastream: Datastream, now: datetime, guard: Guard
    ) -> Deferred[Written]:
        """Merge into one datastream, which must exist; the document's own id is ignored.

        Recording ``datapoints`` is this too; a point without an instant is recorded at ``now``.

        Raises:
            Missing: There is no such feed or datastream.
        """

    def delete_datastream(self, feed_id: int, datastream_id: str, guard: Guard) -> Deferred[Written]:
        """Remove a datastream with its history.

        Raises:
            Missing: There is no such feed or datastream.
        """

    def read_datapoint(self, feed_id: int, datastream_id: str, at: datetime) -> Deferred[Datapoint]:
        """The point at exactly this instant.

        Raises:
            Missing: There is no such feed, datastream or point.
        """

    def update_datapoint(
        self, feed_id: int, datastream_id: str, at: datetime, value: str, now: datetime, guard: Guard
    ) -> Deferred[Written]:
        """Change the value of a point that exists.

        Raises:
            Missing: There is no such feed, datastream or point.
        """

    def delete_datapoints(
        self,
        feed_id: int,
        datastream_id: str,
        start: datetime | None,
        end: datetime | None,
        now: datetime,
        guard: Guard,
    ) -> Deferred[Written]:
        """Remove the points from ``start`` to ``end``, both inclusive; None is unbounded.

        The current value falls back to the newest point that is left.  One point is removed by
        giving its instant twice.

        Raises:
            Missing: There is no such feed or datastream, or ``start == end`` and no point is there.
        """

    def read_history(
        self, feed_id: int, datastreams: Sequence[str], query: HistoryQuery
    ) -> Deferred[list[DatastreamHistory]]:
        """Points of these datastreams, in their order; ids that do not exist are left out.

        A datastream without points is there, empty.

        Raises:
            Missing: There is no such feed.
        """

    def read_values_at(
        self, feed_id: int, datastreams: Sequence[str], at: datetime
    ) -> Deferred[dict[str, Datapoint]]:
        """The newest point at or before an instant of each datastream that has one.

        Raises:
            Missing: There is no such feed.
        """

    def read_points(
        self, feed_id: int, datastream_id: str, after: datetime | None, limit: int
    ) -> Deferred[list[Datapoint]]:
        """The next stored points after an instant, ascending; the way to walk a whole history.

        Raises:
            Missing: There is no such feed or datastream.
        """

    def read_backwards(
        self, feed_id: int, datastream_id: str, first: int, last: int, limit: int
    ) -> Deferred[list[tuple[int, str]]]:
        """The newest points of a window, newest first; the way to walk a history backwards.

        Args:
            feed_id: The feed.
            datastream_id: The datastream.
            first: The first instant, inclusive, in microseconds since 1970; at most 63 bits, as ``last``.
            last: The last instant, inclusive.
            limit: The most points.

        Returns:
            Pairs of microseconds since 1970 and value.

        Raises:
            Missing: There is no such feed or datastream.
        """

    def list_feeds(self, search: FeedSearch) -> Deferred[tuple[int, list[FeedRecord]]]:
        """How many feeds match, and those of the page."""

    def create_trigger(self, owner: str, trigger: Trigger, now: datetime, guard: Guard) -> Deferred[int]:
        """Watch a datastream; gives the trigger's number.

        Raises:
            Missing: There is no such feed or datastream.
        """

    def read_trigger(self, number: int) -> Deferred[TriggerRecord]:
        """A trigger.

        Raises:
            Missing: There is no such trigger.
        """

    def list_triggers(self, owner: str, feed_id: int | None = None) -> Deferred[list[TriggerRecord]]:
        """The triggers of an account, by number; of those only the ones of a feed, if one is given."""

    def update_trigger(self, number: int, trigger: Trigger, now: datetime) -> Deferred[None]:
        """Merge into a trigger: URL, type and threshold; members that are None stay as they are.

        Raises:
            Missing: There is no such trigger.
        """

    def delete_trigger(self, number: int) -> Deferred[None]:
        """Remove a trigger with what it still has to say.

        Raises:
            Missing: There is no such trigger.
        """

    def freeze(self, before: datetime, now: datetime) -> Deferred[int]:
        """Let the triggers fire that watch for silence, of datastreams not written since an instant.

        Returns:
            How many fired.
        """

    def due_notices(self, now: datetime, limit: int) -> Deferred[list[Notice]]:
        """Notices that are to be delivered now, the oldest first, of each trigger at most one."""

    def next_notice(self) -> Deferred[datetime | None]:
        """When the next notice is due; None when there is none."""

    def settle_notice(
        self, number: int, at: datetime, outcome: str, again: datetime | None
    ) -> Deferred[None]:
        """Write down a try to deliver a notice; one that is gone meanwhile is nothing to write about.

        Args:
            number: The notice.
            at: When it was tried.
            outcome: What became of it.
            again: When to try again; None for never.
        """

    def list_notices(self, trigger: int) -> Deferred[list[NoticeRecord]]:
        """A trigger's delivery log, the newest first."""
