"""What a node holds, and how it shows."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from txbridge.joule.structures import (
    Annotation,
    ConnectionInfo,
    DataStream,
    DataStreamInfo,
    Element,
    Event,
    EventStream,
    EventStreamInfo,
    Folder,
    Follower,
    Master,
    Module,
    ModuleStatistics,
    Proxy,
)


def test_everything_shows_as_the_reference_shows_it() -> None:
    element = Element("Element1", None, display_type="CONTINUOUS", id=3192, index=0)
    shown = {
        repr(Folder("root", id=2728, locked=True)): (
            "<joule.api.Folder id=2728 name='root' description=None locked=True>"
        ),
        repr(DataStream("stream", datatype="int32", id=2627)): (
            "<joule.api.DataStream id=2627 name='stream' description='' datatype='int32' "
            "is_configured=False is_source=False is_destination=False locked=False decimate=True>"
        ),
        repr(element): (
            "<joule.api.Element id=3192 index=0, name='Element1' units=None "
            "plottable=True display_type='CONTINUOUS'>"
        ),
        repr(DataStreamInfo(1551730769556442, 1551751402742424, 61440, 20633185982)): (
            "<joule.api.DataStreamInfo start=1551730769556442 end=1551751402742424 "
            "rows=61440, total_time=20633185982>"
        ),
        repr(EventStream("stream", "example", id=39)): (
            "<joule.api.EventStream id=39 name='stream' description='example'>"
        ),
        repr(EventStreamInfo(1643858892000000, 1643891982000000, 10, 33090000000)): (
            "<joule.api.EventStreamInfo start=1643858892000000 end=1643891982000000 "
            "events=10, total_time=33090000000>"
        ),
        repr(Module(0, "plus1", "adds 1 to the input", False, {}, {})): (
            "<joule.api.Module id=0 name='plus1' description='adds 1 to the input' is_app=False>"
        ),
        repr(ModuleStatistics(1460, 1551805343.4, 5.6, 6.23)): (
            "<joule.api.ModuleStatistics pid=1460 create_time=1551805343.4 "
            "cpu_percent=5.60 memory_percent=6.23>"
        ),
        repr(ModuleStatistics(None, None, None, None)): (
            "<joule.api.ModuleStatistics pid=None create_time=None cpu_percent=None memory_percent=None>"
        ),
        repr(Proxy(0, "flask_app", "http://localhost:5000", "http://localhost:8088/interface/p0")): (
            "<joule.api.Proxy id=0 name='flask_app' proxied_url='http://localhost:8088/interface/p0' "
            "target_url='http://localhost:5000'>"
        ),
        repr(Event(5, 6, {"name": "a very long name"}, 7)): (
            '<joule.api.Event id: 7 start_time: 5, end_time: 6, content: {"name": "a very lon ...}>'
        ),
    }
    assert list(shown) == list(shown.values())


def test_arguments_have_the_order_and_the_defaults_of_the_reference() -> None:
    stream = DataStream("n", "d", "int16", 5, [Element("e", "V", False, "discrete")])
    assert (stream.name, stream.description, stream.datatype, stream.keep_us) == ("n", "d", "int16", 5)
    assert (stream.elements[0].units, stream.elements[0].plottable) == ("V", False)
    bare = DataStream()
    assert (bare.name, bare.description, bare.datatype, bare.keep_us, bare.elements) == (
        "",
        "",
        "float32",
        -1,
        [],
    )
    assert (bare.id, bare.locked, bare.active, bare.decimate) == (None, False, False, True)
    element = Element()
    assert (element.units, element.plottable, element.display_type) == ("", True, "continuous")
    assert (element.offset, element.scale_factor, element.default_max) == (0, 1.0, None)
    note = Annotation("t", 1, 2, "c")
    assert (note.title, note.start, note.end, note.content, note.id) == ("t", 1, 2, "c", None)
    assert note.name == "t"
    module = Module(1, "n", "d", True, {"a": "/b"}, {}, ModuleStatistics(1, 2, 3, 4))
    assert module.statistics is not None
    assert EventStreamInfo(1, 2, 10).events == 10


def test_no_two_streams_share_their_elements() -> None:
    DataStream().elements.append(Element())
    assert DataStream(elements=None).elements == []  # type: ignore[arg-type]


def test_a_layout_is_the_type_and_the_number_of_elements() -> None:
    assert DataStream(datatype="FLOAT32", elements=[Element("a"), Element("b")]).layout == "float32_2"


def test_events_are_equal_when_they_say_the_same_of_the_same_time() -> None:
    assert Event(1, 2, {"a": 1}, id=3, node_uuid="x") == Event(1, 2, {"a": 1})
    assert Event(1, 2, {"a": 1}) != Event(1, 2, {"a": 2})
    assert Event(1, 2) != Event(1, 3)


def test_a_time_that_was_computed_with_a_float_is_whole_again() -> None:
    event = Event(1.7e15 - 1e6, 1.7e15)  # type: ignore[arg-type]
    assert (event.start_time, type(event.start_time), type(event.end_time)) == (
        1_699_999_999_000_000,
        int,
        int,
    )
    assert type(Annotation("t", 1e15).start) is int  # type: ignore[arg-type]


def test_no_secret_shows() -> None:
    secrets = [
        ConnectionInfo("joule_module", "sesame", 5432, "joule", "host"),
        Master("user", "guest", "sesame"),
        Follower("node", "http://host", "sesame"),
    ]
    assert "sesame" not in repr(secrets) + str(secrets)


def test_a_connection_has_the_members_of_the_reference() -> None:
    info = ConnectionInfo("u", "p", 5432, "joule", "host", "http://nilm")
    assert info.to_json() == {
        "username": "u",
        "password": "p",
        "port": 5432,
        "database": "joule",
        "host": "host",
        "nilmdb_url": "http://nilm",
    }
    assert "nilmdb_url" not in ConnectionInfo("u", "p", 5432, "joule", "host").to_json()
    assert info.to_dsn() == "postgresql://u:p@host:5432/joule"
    assert ConnectionInfo("u", "p", 1, "d", "::1").to_dsn() == "postgresql://u:p@[::1]:1/d"


@given(user=st.text(min_size=1), password=st.text(min_size=1), database=st.text(min_size=1))
def test_whatever_a_password_is_a_dsn_carries_it(user: str, password: str, database: str) -> None:
    try:
        (user + password + database).encode()
    except UnicodeEncodeError:
        return
    parts = urlsplit(ConnectionInfo(user, password, 5432, database, "host").to_dsn())
    assert (parts.hostname, parts.port) == ("host", 5432)
    assert unquote(parts.username or "") == user
    assert unquote(parts.password or "") == password
    assert unquote(parts.path[1:]) == database
