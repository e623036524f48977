"""Hypothesis strategies for the shared structures.

Each takes ``xml``: True draws only what EEML can carry, which the docstring of
`txbridge.codecs.eeml` lists; False draws everything JSON can.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from txbridge.model.accounts import (
    Key,
    KeyList,
    Permission,
    Resource,
    Trigger,
    TriggerList,
    User,
    UserList,
)
from txbridge.model.encoding import Structure
from txbridge.model.structures import (
    Datapoint,
    Datastream,
    Environment,
    EnvironmentList,
    Location,
    Unit,
    Waypoint,
)

__all__ = [
    "datapoints",
    "datastreams",
    "documents",
    "environment_lists",
    "environments",
    "instants",
    "json_values",
    "keys",
    "locations",
    "permissions",
    "resources",
    "tags",
    "texts",
    "triggers",
    "units",
    "users",
    "values",
    "waypoints",
]


def texts(*, xml: bool = False) -> st.SearchStrategy[str]:
    """Any text UTF-8 carries; for EEML, text with something between its edges."""
    if not xml:
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    characters = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    return st.text(characters, min_size=1, max_size=12).map(str.strip).filter(bool)


def values(*, xml: bool = False) -> st.SearchStrategy[str]:
    """The texts of values: numbers as sensors write them, and words."""
    numbers = st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str)
    return st.sampled_from(["0", "21.50", "-0.0", "007", "1e3", "off"]) | numbers | texts(xml=xml)


def instants() -> st.SearchStrategy[datetime]:
    """Instants; whole seconds and millennia-old ones among them."""
    anywhen = st.datetimes(timezones=st.just(UTC))
    return anywhen | anywhen.map(lambda at: at.replace(microsecond=0))


def tags(*, xml: bool = False) -> st.SearchStrategy[list[str]]:
    """Lists of tags, some of which hold commas and quotes."""
    tag = texts(xml=xml) | st.sampled_from(['a,"b"', "device:type=x"])
    return st.lists(tag, min_size=1 if xml else 0, max_size=3)


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def _integers() -> st.SearchStrategy[int]:
    return st.integers(0, 2**63 - 1)


def _degrees() -> st.SearchStrategy[float]:
    return st.floats(-180, 180, allow_nan=False)


def _something(kind: type[Structure], xml: bool) -> Any:
    """A filter: EEML cannot tell an empty one of these from none."""
    return lambda structure: not xml or structure != kind()


def units(*, xml: bool = False) -> st.SearchStrategy[Unit]:
    """Units."""
    text = _maybe(texts(xml=xml))
    kinds = _maybe(st.sampled_from(Unit.Valid_Unit_Types) | texts(xml=xml))
    return st.builds(Unit, type=kinds, symbol=text, label=text).filter(_something(Unit, xml))


def waypoints(*, xml: bool = False) -> st.SearchStrategy[Waypoint]:
    """Waypoints."""
    return st.builds(
        Waypoint,
        at=_maybe(instants()),
        lat=_maybe(_degrees()),
        lon=_maybe(_degrees()),
        ele=_maybe(values(xml=xml)),
    )


def locations(*, xml: bool = False) -> st.SearchStrategy[Location]:
    """Locations, fixed and mobile."""
    text = _maybe(texts(xml=xml))
    return st.builds(
        Location,
        name=text,
        domain=_maybe(st.sampled_from(Location.Valid_Domain_Kinds)),
        exposure=_maybe(st.sampled_from(Location.Valid_Exposure_Kinds)),
        disposition=_maybe(st.sampled_from(Location.Valid_Disposition_Kinds)),
        lat=_maybe(_degrees()),
        lon=_maybe(_degrees()),
        ele=_maybe(values(xml=xml)),
        waypoints=st.lists(waypoints(xml=xml), max_size=2),
    ).filter(_something(Location, xml))


def datapoints(*, xml: bool = False) -> st.SearchStrategy[Datapoint]:
    """Datapoints, with and without their instant."""
    return st.builds(Datapoint, at=_maybe(instants()), value=_maybe(values(xml=xml)))


def datastreams(
    *, xml: bool = False, ids: st.SearchStrategy[str | None] | None = None
) -> st.SearchStrategy[Datastream]:
    """Datastreams, with current values, history, both or neither."""
    text, value = _maybe(texts(xml=xml)), _maybe(values(xml=xml))
    return st.builds(
        Datastream,
        id=_maybe(texts(xml=xml)) if ids is None else ids,
        current_value=value,
        at=_maybe(instants()),
        max_value=value,
        min_value=value,
        tags=_maybe(tags(xml=xml)),
        unit=_maybe(units(xml=xml)),
        datapoints=st.lists(datapoints(xml=xml), max_size=4),
        datapoints_function=text,
    )


def _logins(xml: bool) -> st.SearchStrategy[User]:
    return st.builds(User, login=texts(xml=xml))


def environments(*, xml: bool = False) -> st.SearchStrategy[Environment]:
    """Feeds."""
    text = _maybe(texts(xml=xml))
    ids = texts(xml=xml)
    return st.builds(
        Environment,
        id=_maybe(_integers()),
        title=text,
        private=_maybe(st.booleans()),
        icon=text,
        website=text,
        tags=_maybe(tags(xml=xml)),
        description=text,
        feed=text,
        auto_feed_url=text,
        status=_maybe(st.sampled_from(["live", "frozen"])),
        updated=_maybe(instants()),
        created=_maybe(instants()),
        email=text,
        creator=text,
        user=_maybe(_logins(xml)),
        version=st.just("1.0.0") if xml else st.sampled_from([None, "1.0.0", "2"]),
        datastreams=st.lists(datastreams(xml=xml, ids=ids), max_size=3, unique_by=lambda stream: stream.id),
        location=_maybe(locations(xml=xml)),
        product_id=text,
        device_serial=text,
    )


def environment_lists(*, xml: bool = False) -> st.SearchStrategy[EnvironmentList]:
    """Pages of feeds."""
    count = _maybe(_integers())
    return st.builds(
        EnvironmentList,
        total_results=count,
        start_index=count,
        items_per_page=count,
        feeds=st.lists(environments(xml=xml), max_size=2),
    )


def triggers(*, xml: bool = False) -> st.SearchStrategy[Trigger]:
    """Triggers, some of which never fired."""
    text = _maybe(texts(xml=xml))
    return st.builds(
        Trigger,
        id=_maybe(_integers()),
        url=text,
        trigger_type=_maybe(st.sampled_from("gt gte lt lte eq change frozen live".split())),
        threshold_value=_maybe(values(xml=xml)),
        environment_id=_maybe(_integers()),
        stream_id=text,
        user=text,
        notified_at=_maybe(instants()),
    )


def resources(*, xml: bool = False) -> st.SearchStrategy[Resource]:
    """What keys are limited to."""
    return st.builds(
        Resource,
        feed_id=_maybe(_integers()),
        datastream_id=_maybe(texts(xml=xml)),
        datastream_trigger_id=_maybe(_integers()),
    )


def permissions(*, xml: bool = False) -> st.SearchStrategy[Permission]:
    """What keys may do."""
    text = _maybe(texts(xml=xml))
    return st.builds(
        Permission,
        access_methods=st.lists(st.sampled_from(["get", "put", "post", "delete"]), max_size=4),
        label=text,
        referer=text,
        source_ip=text,
        minimum_interval=_maybe(_integers()),
        resources=st.lists(resources(xml=xml), max_size=2),
    )


def keys(*, xml: bool = False) -> st.SearchStrategy[Key]:
    """Keys."""
    text = _maybe(texts(xml=xml))
    return st.builds(
        Key,
        api_key=text,
        label=text,
        expires_at=_maybe(instants()),
        private_access=_maybe(st.booleans()),
        permissions=_maybe(st.lists(permissions(xml=xml), max_size=2)),
        user=text,
    )


def users(*, xml: bool = False) -> st.SearchStrategy[User]:
    """Accounts."""
    text, flag, count = _maybe(texts(xml=xml)), _maybe(st.booleans()), _maybe(_integers())
    roles = st.lists(texts(xml=xml), max_size=2)
    return st.builds(
        User,
        login=text,
        email=text,
        api_key=text,
        password=text,
        full_name=text,
        first_name=text,
        last_name=text,
        organisation=text,
        about=text,
        website=text,
        time_zone=text,
        roles=roles,
        creatable_roles=roles,
        deliver_email=flag,
        display_activity=flag,
        display_information=flag,
        display_stats=flag,
        receive_forum_notifications=flag,
        subscribed_to_mailings=flag,
        feeds_count=count,
        datastreams_count=count,
        datastreams_allowed=count,
        daily_api_access_count=count,
        total_api_access_count=count,
    )


def documents(*, xml: bool = False) -> st.SearchStrategy[Structure]:
    """Every structure that is a document in the format."""
    whole: list[st.SearchStrategy[Structure]] = [
        environments(xml=xml),
        environment_lists(xml=xml),
        datastreams(xml=xml),
        datapoints(xml=xml),
        triggers(xml=xml),
        st.builds(TriggerList, triggers=st.lists(triggers(xml=xml), max_size=3)),
        keys(xml=xml),
        st.builds(KeyList, keys=st.lists(keys(xml=xml), max_size=2)),
        users(xml=xml),
        st.builds(UserList, users=st.lists(users(xml=xml), max_size=2)),
    ]
    parts: list[st.SearchStrategy[Structure]] = [
        units(),
        locations(),
        waypoints(),
        resources(),
        permissions(),
    ]
    return st.one_of(whole if xml else whole + parts)


_MEMBERS = (
    "id title private icon tags description status updated created user login version datastreams location "
    "current_value at max_value min_value unit type symbol label datapoints datapoints_function value values "
    "recorded_at name domain exposure lat lon ele waypoints totalResults startIndex itemsPerPage results "
    "trigger_type threshold_value notified_at environment_id stream_id key keys users api_key expires_at "
    "private_access permissions access_methods minimum_interval resources feed_id roles unknown"
).split()


def json_values() -> st.SearchStrategy[Any]:
    """JSON as strangers send it: the members we know, with whatever in them."""
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.sampled_from(
            [
                "",
                "0",
                "20.0",
                "true",
                "a, b",
                "1.0.0",
                "0.6-alpha",
                "2013-06-03T09:15:42Z",
                "2013-06-03T09:15:42.250000Z",
                "2013-06-03T09:15:42.1234567Z",
                "2013-06-03T09:15:42.123456789Z",
                "2013-06-03T09:15:42+01:00",
                "2013-06-03T09:15:42.25-0330",
                "2013-06-03 09:15:42",
                "2013-06-03t09:15:42z",
                "0001-01-01T00:00:00+01:00",
            ]
        )
        | st.text(max_size=6)
    )
    names = st.sampled_from(_MEMBERS)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=6),
        max_leaves=25,
    )
