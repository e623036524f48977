"""The EEML codec: its laws, the documents of the service, and what its clients sent.

Documents are written from templates; `test_a_feed_is_written_as_lxml_writes_its_tree` is what
allows that.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, reject
from hypothesis import strategies as st
from lxml import etree

from tests.support import strategies
from txbridge.codecs import eeml
from txbridge.codecs.fields import EEML_NAMESPACE, OPENSEARCH_NAMESPACE, XSI_NAMESPACE
from txbridge.codecs.limits import DecodeLimits
from txbridge.errors import DecodeError, EncodeError
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
from txbridge.model.instants import format_instant
from txbridge.model.structures import (
    Datapoint,
    Datastream,
    Environment,
    EnvironmentList,
    Location,
    Unit,
    Waypoint,
)

KINDS = sorted([*eeml._HISTORY_READERS, *eeml._READERS], key=lambda kind: kind.__name__)
NINE = datetime(2013, 6, 3, 9, tzinfo=UTC)

HEAD = (
    '<eeml xmlns="http://www.eeml.org/xsd/0.5.1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"%s'
    ' version="0.5.1"'
    ' xsi:schemaLocation="http://www.eeml.org/xsd/0.5.1 http://www.eeml.org/xsd/0.5.1/0.5.1.xsd">'
)
EEML = HEAD % ""
LIST = HEAD % ' xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"'
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


def refusal(kind: Any, document: str | bytes, **options: Any) -> DecodeError:
    data = document if isinstance(document, bytes) else document.encode()
    with pytest.raises(DecodeError) as caught:
        eeml.decode(kind, data, **options)
    assert caught.value.format == "xml"
    return caught.value


def in_feed(inside: str) -> bytes:
    return f"<eeml><environment>{inside}</environment></eeml>".encode()


def stream_of(inside: str) -> Datastream:
    return eeml.decode(Datastream, in_feed(f'<data id="s">{inside}</data>'))


# ----------------------------------------------------------------------------------------------- laws


@given(strategies.documents(xml=True))
@example(Datastream(id="s", tags=["a"], unit=Unit(symbol='"<&>\u00b0'), datapoints=[Datapoint()] * 2))
@example(Datastream(current_value="two\nlines\r\n\tand ]]> more", at=NINE, datapoints_function="average"))
@example(Environment(creator='a"b\nc\td', title="\U0001f321 caf\u00e9 \x85x"))
@example(KeyList(keys=[Key(permissions=[]), Key(permissions=[Permission()])]))
def test_what_is_written_is_read_back_the_same(structure):
    assert eeml.decode(type(structure), eeml.encode(structure)) == structure


def instant(at: datetime | None) -> str | None:
    return None if at is None else format_instant(at)


def add(parent: etree._Element, name: str, text: str | None, **attributes: str | None) -> etree._Element:
    given = {key: value for key, value in attributes.items() if value is not None}
    element = etree.SubElement(parent, f"{{{EEML_NAMESPACE}}}{name}", given)
    element.text = text or ""  # so that an empty element has two tags, as in the templates
    return element


def add_all(parent: etree._Element, structure: Any, names: str) -> None:
    for name in names.split():
        value = getattr(structure, name)
        if value is not None:
            add(parent, name, value if isinstance(value, str) else repr(value))


def tree_of(feed: Environment) -> etree._Element:
    """A feed as a tree, built the slow way."""
    namespaces: dict[Any, str] = {None: EEML_NAMESPACE, "xsi": XSI_NAMESPACE}
    root = etree.Element(
        f"{{{EEML_NAMESPACE}}}eeml",
        {
            "version": "0.5.1",
            f"{{{XSI_NAMESPACE}}}schemaLocation": f"{EEML_NAMESPACE} {EEML_NAMESPACE}/0.5.1.xsd",
        },
        nsmap=namespaces,
    )
    environment = add(
        root,
        "environment",
        None,
        updated=instant(feed.updated),
        created=instant(feed.created),
        id=None if feed.id is None else str(feed.id),
        creator=feed.creator,
    )
    add_all(
        environment,
        feed,
        "title feed auto_feed_url status description icon website email product_id device_serial",
    )
    if feed.private is not None:
        add(environment, "private", "true" if feed.private else "false")
    for tag in feed.tags or ():
        add(environment, "tag", tag)
    if feed.location is not None:
        place = feed.location
        location = add(
            environment,
            "location",
            None,
            disposition=place.disposition,
            exposure=place.exposure,
            domain=place.domain,
        )
        add_all(location, place, "name lat lon ele")
        if place.waypoints:
            waypoints = add(location, "waypoints", None)
            for waypoint in place.waypoints:
                add_all(add(waypoints, "waypoint", None, at=instant(waypoint.at)), waypoint, "lat lon ele")
    if feed.user is not None:
        add_all(add(environment, "user", None), feed.user, "login")
    for stream in feed.datastreams.values():
        data = add(environment, "data", None, id=stream.id)
        for tag in stream.tags or ():
            add(data, "tag", tag)
        if stream.current_value is not None or stream.at is not None:
            add(data, "current_value", stream.current_value, at=instant(stream.at))
        add_all(data, stream, "max_value min_value")
        if stream.unit is not None:
            add(data, "unit", stream.unit.label, type=stream.unit.type, symbol=stream.unit.symbol)
        if stream.datapoints or stream.datapoints_function is not None:
            datapoints = add(data, "datapoints", None, function=stream.datapoints_function)
            for point in stream.datapoints:
                add(datapoints, "value", point.value, at=instant(point.at))
    return root


@given(strategies.environments(xml=True))
@example(Environment(creator='a"b\nc\td\r<&>', title="\U0001f321 \r\n\t]]> <&> \x85'\""))
def test_a_feed_is_written_as_lxml_writes_its_tree(feed):
    slow = etree.tostring(tree_of(feed), encoding="unicode")
    assert eeml.encode(feed).decode() == DECLARATION + slow + "\n"


@given(strategies.documents(xml=True))
def test_every_document_is_well_formed_and_in_its_namespace(structure):
    root = etree.fromstring(eeml.encode(structure))
    account = isinstance(structure, Trigger | TriggerList | Key | KeyList | User | UserList)
    assert {etree.QName(element).namespace for element in root.iter()} <= (
        {None} if account else {EEML_NAMESPACE, OPENSEARCH_NAMESPACE}
    )


@given(strategies.datastreams(xml=True), st.integers(-23, 23))
def test_the_zone_changes_how_instants_look_and_not_what_they_are(stream, hours):
    try:
        written = eeml.encode(stream, zone=timezone(timedelta(hours=hours)))
    except EncodeError:
        reject()  # an instant at the very end of the calendar
    assert eeml.decode(Datastream, written) == stream


@given(
    st.sampled_from(KINDS),
    st.binary(max_size=40) | st.text(max_size=30).map(lambda text: f"<a>{text}".encode()),
)
@example(Environment, b"")
@example(Environment, b"<eeml><environment>&unknown;</environment></eeml>")
@example(Environment, b"<" * 10_000)
@example(EnvironmentList, b"<a " * 5_000)
def test_arbitrary_bytes_are_refused(kind, data):
    with pytest.raises(DecodeError):
        eeml.decode(kind, data)


@given(strategies.documents(xml=True), st.data())
def test_a_damaged_document_is_at_worst_refused(structure, data):
    written = bytearray(eeml.encode(structure))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(written) - 1))
        written[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from([b"", b"<", b">", b'"', b"9", b"x", b" ", b"&", b"<![CDATA[", b"/", b"\xff"])
        )
    try:
        found = eeml.decode(data.draw(st.sampled_from([type(structure), *KINDS])), bytes(written))
    except DecodeError:
        return
    assert type(found) in KINDS


MEMBERS = st.sampled_from(
    "environment data datapoints value current_value max_value tag unit location lat lon ele waypoints "
    "waypoint private user login id eeml totalResults keys key permissions permission access-methods "
    "resources feed-id expires-at datastream-triggers datastream-trigger notified-at users roles role "
    "deliver_email title".split()
)
TEXTS = st.sampled_from(["", " ", "0", "true", "x", "2013-06-03T09:00Z", "9" * 30, "1e999", "nan", "\u0663"])


@st.composite
def elements(draw: st.DrawFn, depth: int = 4) -> etree._Element:
    element = etree.Element(
        draw(MEMBERS),
        draw(st.dictionaries(st.sampled_from(["id", "at", "updated", "nil"]), TEXTS, max_size=2)),
    )
    element.text = draw(TEXTS)
    if depth:
        element.extend(draw(st.lists(elements(depth - 1), max_size=2)))
    return element


@given(elements(), st.sampled_from(KINDS), st.booleans())
def test_known_elements_in_any_order_are_at_worst_refused(element, kind, wrapped):
    document = etree.tostring(element)
    try:
        found = eeml.decode(kind, in_feed(document.decode()) if wrapped else document)
    except DecodeError:
        return
    assert type(found) is kind


# -------------------------------------------------------------------------------- documents, both ways

BOILER = Environment(
    id=7301,
    title="Boiler room",
    private=False,
    website="http://house.example/boiler",
    tags=["boiler", "heating"],
    description="Flow and return of the gas boiler",
    feed="http://127.0.0.1:8080/v2/feeds/7301.xml",
    status="live",
    updated="2013-06-03T09:15:41.9Z",
    created="2013-01-09T18:02:11.004512Z",
    email="keeper@house.example",
    creator="http://127.0.0.1:8080/users/keeper",
    location=Location(
        name="cellar",
        exposure="indoor",
        domain="physical",
        disposition="fixed",
        lat=52.1,
        lon=-0.2,
        ele="23.0",
    ),
    datastreams=[
        Datastream(
            id="flow_temp",
            current_value="22.0",
            at="2013-06-03T09:15:41.9Z",
            max_value="78.5",
            min_value="11.0",
            tags=["temperature"],
            unit=Unit(type="derivedSI", symbol="C", label="Celsius"),
            datapoints=[
                Datapoint(at="2013-06-03T08:59:58.12Z", value="21.4"),
                Datapoint(at="2013-06-03T09:14:57Z", value="22.0"),
            ],
        ),
        Datastream(id="never_written"),
    ],
)
BOILER_TEXT = (
    EEML
    + """
  <environment updated="2013-06-03T09:15:41.900000Z" created="2013-01-09T18:02:11.004512Z" id="7301" creator="http://127.0.0.1:8080/users/keeper">
    <title>Boiler room</title>
    <feed>http://127.0.0.1:8080/v2/feeds/7301.xml</feed>
    <status>live</status>
    <description>Flow and return of the gas boiler</description>
    <website>http://house.example/boiler</website>
    <email>keeper@house.example</email>
    <private>false</private>
    <tag>boiler</tag>
    <tag>heating</tag>
    <location disposition="fixed" exposure="indoor" domain="physical">
      <name>cellar</name>
      <lat>52.1</lat>
      <lon>-0.2</lon>
      <ele>23.0</ele>
    </location>
    <data id="flow_temp">
      <tag>temperature</tag>
      <current_value at="2013-06-03T09:15:41.900000Z">22.0</current_value>
      <max_value>78.5</max_value>
      <min_value>11.0</min_value>
      <unit type="derivedSI" symbol="C">Celsius</unit>
      <datapoints>
        <value at="2013-06-03T08:59:58.120000Z">21.4</value>
        <value at="2013-06-03T09:14:57.000000Z">22.0</value>
      </datapoints>
    </data>
    <data id="never_written"/>
  </environment>
</eeml>"""
)
DOCUMENTS = {
    "feed": (BOILER, BOILER_TEXT),
    "mobile feed": (
        Environment(
            user=User(login="keeper"),
            location=Location(
                disposition="mobile", waypoints=[Waypoint(at=NINE, lat=52.0, lon=-0.1, ele="3")]
            ),
        ),
        EEML
        + """
  <environment>
    <location disposition="mobile">
      <waypoints>
        <waypoint at="2013-06-03T09:00:00.000000Z"><lat>52.0</lat><lon>-0.1</lon><ele>3</ele></waypoint>
      </waypoints>
    </location>
    <user><login>keeper</login></user>
  </environment>
</eeml>""",
    ),
    "list": (
        EnvironmentList(
            total_results=1,
            start_index=0,
            items_per_page=50,
            feeds=[
                Environment(
                    id=7302,
                    title="Rain gauge",
                    private=False,
                    feed="http://127.0.0.1:8080/v2/feeds/7302.xml",
                    status="frozen",
                    updated="2013-05-30",
                    created="2013-05-29T23:00Z",
                    creator="http://127.0.0.1:8080/users/keeper",
                    datastreams=[Datastream(id="mm", current_value="0.4", at="2013-05-30")],
                )
            ],
        ),
        LIST
        + """
  <opensearch:totalResults>1</opensearch:totalResults>
  <opensearch:startIndex>0</opensearch:startIndex>
  <opensearch:itemsPerPage>50</opensearch:itemsPerPage>
  <environment created="2013-05-29T23:00:00.000000Z" updated="2013-05-30T00:00:00.000000Z" id="7302" creator="http://127.0.0.1:8080/users/keeper">
    <title>Rain gauge</title>
    <feed>http://127.0.0.1:8080/v2/feeds/7302.xml</feed>
    <status>frozen</status>
    <private>false</private>
    <data id="mm"><current_value at="2013-05-30T00:00:00.000000Z">0.4</current_value></data>
  </environment>
</eeml>""",
    ),
    "empty list": (
        EnvironmentList(total_results=0),
        LIST + "<opensearch:totalResults>0</opensearch:totalResults></eeml>",
    ),
    "datapoints": (
        Datastream(
            datapoints=[Datapoint(at=NINE, value=294), Datapoint(at=NINE + timedelta(minutes=1), value=295)],
            datapoints_function="average",
        ),
        EEML
        + """
  <environment><data><datapoints function="average">
    <value at="2013-06-03T09:00:00.000000Z">294</value>
    <value at="2013-06-03T09:01:00.000000Z">295</value>
  </datapoints></data></environment>
</eeml>""",
    ),
    "datapoint": (
        Datapoint(at=NINE, value="294"),
        EEML
        + """<environment><data><datapoints><value at="2013-06-03T09:00:00.000000Z">294</value></datapoints>
        </data></environment></eeml>""",
    ),
    "triggers": (
        TriggerList(
            triggers=[
                Trigger(
                    id=31,
                    url="http://127.0.0.1:9999/hook",
                    trigger_type="gt",
                    threshold_value="21.5",
                    notified_at="2013-06-03T09:15:42Z",
                    user="keeper",
                    environment_id=7301,
                    stream_id="flow_temp",
                )
            ]
        ),
        """
<datastream-triggers type="array">
  <datastream-trigger>
    <id type="integer">31</id>
    <url>http://127.0.0.1:9999/hook</url>
    <trigger-type>gt</trigger-type>
    <threshold-value type="float">21.5</threshold-value>
    <notified-at type="datetime">2013-06-03T09:15:42.000000Z</notified-at>
    <user>keeper</user>
    <environment-id type="integer">7301</environment-id>
    <stream-id>flow_temp</stream-id>
  </datastream-trigger>
</datastream-triggers>""",
    ),
    "trigger": (
        Trigger(url="http://h", trigger_type="change", environment_id=7301, stream_id="a"),
        """
<datastream-trigger>
  <url>http://h</url><trigger-type>change</trigger-type>
  <environment-id type="integer">7301</environment-id><stream-id>a</stream-id>
</datastream-trigger>""",
    ),
    "key": (
        Key(
            api_key="k7Q",
            label="display panel",
            private_access=True,
            permissions=[
                Permission(
                    access_methods=["get"],
                    label="read boiler",
                    referer="www.house.example",
                    source_ip="127.0.0.1",
                    minimum_interval=60,
                    resources=[
                        Resource(feed_id=7301, datastream_id="flow_temp"),
                        Resource(datastream_trigger_id=31),
                    ],
                )
            ],
        ),
        """
<key>
  <api-key>k7Q</api-key>
  <label>display panel</label>
  <private-access>true</private-access>
  <permissions>
    <permission>
      <label>read boiler</label>
      <source-ip>127.0.0.1</source-ip>
      <referer>www.house.example</referer>
      <minimum-interval>60</minimum-interval>
      <access-methods><access-method>get</access-method></access-methods>
      <resources>
        <resource><feed-id>7301</feed-id><datastream-id>flow_temp</datastream-id></resource>
        <resource><datastream-trigger-id>31</datastream-trigger-id></resource>
      </resources>
    </permission>
  </permissions>
</key>""",
    ),
    "keys": (
        KeyList(keys=[Key(label="a", expires_at=NINE), Key(label="b")]),
        """
<keys type="array">
  <key><label>a</label><expires-at>2013-06-03T09:00:00.000000Z</expires-at></key>
  <key><label>b</label></key>
</keys>""",
    ),
    "users": (
        UserList(
            users=[
                User(
                    login="keeper",
                    email="keeper@house.example",
                    full_name="K. Eeper",
                    time_zone="London",
                    roles=["user"],
                    deliver_email=True,
                    feeds_count=0,
                ),
                User(login="other", creatable_roles=["user", "guest"]),
            ]
        ),
        """
<users type="array">
  <user>
    <login>keeper</login><email>keeper@house.example</email><full_name>K. Eeper</full_name>
    <time_zone>London</time_zone>
    <roles><role>user</role></roles><deliver_email>true</deliver_email><feeds_count>0</feeds_count>
  </user>
  <user>
    <login>other</login>
    <creatable_roles><creatable_role>user</creatable_role><creatable_role>guest</creatable_role></creatable_roles>
  </user>
</users>""",
    ),
}


def canonical(document: bytes) -> str:
    """A document without indentation, its attributes in one order."""
    root = etree.fromstring(document, etree.XMLParser(remove_blank_text=True))
    return etree.tostring(root, method="c14n2").decode()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_are_written_as_the_service_wrote_them_and_read_back(name):
    structure, text = DOCUMENTS[name]
    assert canonical(eeml.encode(structure)) == canonical(text.strip().encode())
    assert eeml.decode(type(structure), (DECLARATION + text.strip()).encode()) == structure


# --------------------------------------------------------------------------------------------- writing


def test_a_document_begins_with_its_declaration_and_ends_with_a_newline():
    assert eeml.encode(Datastream(id="a")).decode() == (
        f'{DECLARATION}{EEML}<environment><data id="a"></data></environment></eeml>\n'
    )


def test_a_datastream_can_stand_in_its_feed():
    written = eeml.encode(Datastream(id="pump", current_value="off"), environment=BOILER)
    environment = etree.fromstring(written)[0]
    assert dict(environment.items()) == {
        "updated": "2013-06-03T09:15:41.900000Z",
        "id": "7301",
        "creator": "http://127.0.0.1:8080/users/keeper",
    }
    assert [child.get("id") for child in environment] == ["pump"]


def test_a_datastream_without_an_id_of_its_own_has_the_name_it_stands_under():
    feed = Environment(datastreams={"a": Datastream(current_value=0)})
    assert b'<data id="a"><current_value>0</current_value></data>' in eeml.encode(feed)


def test_a_trigger_that_never_fired_can_say_so():
    written = eeml.encode(Trigger(id=1), notified_always=True)
    assert b'<notified-at type="datetime" nil="true"></notified-at>' in written
    assert eeml.decode(Trigger, written) == Trigger(id=1)
    assert b"notified" not in eeml.encode(Trigger(id=1))


def test_a_zone_shows_in_every_instant():
    written = eeml.encode(
        Environment(
            updated=NINE,
            created=NINE,
            location=Location(waypoints=[Waypoint(at=NINE)]),
            datastreams=[Datastream(id="a", at=NINE, datapoints=[Datapoint(at=NINE)])],
        ),
        zone=timezone(timedelta(hours=-3, minutes=-30)),
    )
    assert written.count(b'"2013-06-03T05:30:00.000000-03:30"') == 5


@pytest.mark.parametrize("microseconds", [(0, 1), (0, 0), (250_000, 1)])
def test_every_instant_of_a_history_has_six_fraction_digits(microseconds):
    points = [Datapoint(at=NINE.replace(microsecond=one), value=1) for one in microseconds]
    written = eeml.encode(Datastream(datapoints=points)).decode()
    for one in microseconds:
        assert f'<value at="2013-06-03T09:00:00.{one:06}Z">1</value>' in written


@pytest.mark.parametrize("empty", [Location(), Unit(), User(), None])
def test_parts_of_which_nothing_is_known_are_left_out(empty):
    feed = Environment()
    if isinstance(empty, Unit):
        feed.datastream("a").unit = empty
    elif isinstance(empty, Location):
        feed.location = empty
    else:
        feed.user = empty
    assert not {"location", "unit", "user"} & {
        etree.QName(one).localname for one in etree.fromstring(eeml.encode(feed)).iter()
    }


@pytest.mark.parametrize(
    ("structure", "path"),
    [
        (Environment(title="\0"), "title"),
        (Environment(creator="\x1b"), "creator"),
        (Environment(tags=["a", "\ufffe"]), "tags[1]"),
        (Environment(location=Location(name="\x07")), "location.name"),
        (Environment(user=User(login="\x07")), "user.login"),
        (Environment(datastreams=[Datastream(id="a"), Datastream(id="\x07")]), "datastreams[1].id"),
        (
            Environment(datastreams=[Datastream(id="a", current_value="\ud800")]),
            "datastreams[0].current_value",
        ),
        (Environment(datastreams=[Datastream(id="a", tags=["\x07"])]), "datastreams[0].tags[0]"),
        (Datastream(unit=Unit(label="\uffff")), "unit.label"),
        (Datastream(datapoints=[Datapoint(at=NINE), Datapoint(value="\x07")]), "datapoints[1].value"),
        (Datapoint(value="\x07"), "value"),
        (EnvironmentList(feeds=[Environment(title="\x07")]), "feeds[0].title"),
        (EnvironmentList(feeds=[Environment(), Environment(creator="\x07")]), "feeds[1].creator"),
        (TriggerList(triggers=[Trigger(url="\x07")]), "triggers[0].url"),
        (Key(permissions=[Permission(source_ip="\x07")]), "permissions[0].source_ip"),
        (Key(permissions=[Permission(access_methods=["\x07"])]), "permissions[0].access_methods[0]"),
        (KeyList(keys=[Key(label="\x07")]), "keys[0].label"),
        (UserList(users=[User(roles=["a", "\x07"])]), "users[0].roles[1]"),
    ],
)
def test_a_character_that_xml_has_no_place_for_is_refused_by_place(structure, path):
    with pytest.raises(EncodeError, match=r"XML has no place for the character U\+") as caught:
        eeml.encode(structure)
    assert (caught.value.format, caught.value.path) == ("xml", path)


@pytest.mark.parametrize("part", [Unit(), Location(), Waypoint(), Permission(), Resource()])
def test_parts_of_documents_are_no_documents(part):
    kind = type(part)
    with pytest.raises(EncodeError, match=f"{kind.__name__} has no XML document of its own"):
        eeml.encode(part)
    assert refusal(kind, "<a/>").reason == f"{kind.__name__} has no XML document of its own"


# --------------------------------------------------------------------------------------------- reading


def test_the_shortest_documents_are_read():
    assert eeml.decode(Environment, in_feed("<title>Greenhouse</title>")) == Environment(title="Greenhouse")
    assert stream_of("<current_value>18.6</current_value>") == Datastream(id="s", current_value="18.6")


def test_white_space_comments_and_unknown_elements_are_no_matter():
    stream = stream_of(
        "<!-- x --> <new/> <current_value at=' 2013-06-03 '>\n 1<!-- y -->8.6\t</current_value>"
    )
    assert stream == Datastream(id="s", current_value="18.6", at="2013-06-03")


def test_character_data_sections_are_text():
    assert stream_of("<current_value><![CDATA[<&> ]]>x</current_value>").current_value == "<&> x"


def test_elements_come_in_any_order():
    stream = stream_of("<min_value>1</min_value><tag>a</tag><max_value>2</max_value><tag>b</tag><tag/>")
    assert stream == Datastream(id="s", min_value="1", max_value="2", tags=["a", "b"])


def test_an_empty_text_of_a_feed_clears_it_and_other_empty_elements_are_not_there():
    feed = eeml.decode(
        Environment,
        in_feed("<description/><icon></icon><private/><tag/><location><lat/><name/></location><user/>"),
    )
    assert feed == Environment(description="", icon="")
    assert stream_of(
        "<current_value at=''/><max_value/><unit type='' symbol=''/><datapoints/>"
    ) == Datastream(id="s")


def test_the_value_of_eeml_005_is_read_with_its_extremes():
    stream = stream_of(
        '<value minValue="11.0" maxValue="78.5">22.0</value><unit type="derivedSI" symbol="C"/>'
    )
    assert stream == Datastream(
        id="s",
        current_value="22.0",
        min_value="11.0",
        max_value="78.5",
        unit=Unit(type="derivedSI", symbol="C"),
    )


@given(st.lists(st.none() | st.text(" \r\n\t1\xa0", max_size=3), max_size=4))
def test_white_space_of_many_values_is_trimmed_as_of_one(texts):
    assert list(eeml._all_given(texts)) == [eeml._given(text) for text in texts]


def test_points_in_every_form_are_read():
    stream = stream_of(
        "<datapoints function='sum'><value at='2013-06-03T09:00:00Z'> 1 </value><value>2</value>"
        "<value at='2013-06-03T11:00:00.1234567+0200'/><value at=''>4</value><other/></datapoints>"
    )
    assert stream.datapoints_function == "sum"
    assert stream.datapoints == [
        Datapoint(at=NINE, value="1"),
        Datapoint(value="2"),
        Datapoint(at=NINE + timedelta(microseconds=123456)),
        Datapoint(value="4"),
    ]


def test_hyphens_and_underscores_stand_for_each_other():
    text = (
        "<key><api_key>k</api_key><expires_at>2013-06-03</expires_at><private_access>TRUE</private_access>"
        "<permissions><permission><access_methods><access_method>GET</access_method></access_methods>"
        "<minimum_interval>0</minimum_interval></permission></permissions></key>"
    )
    key = eeml.decode(Key, text.encode())
    assert key == eeml.decode(Key, text.replace("_", "-").encode())
    assert key == Key(
        api_key="k",
        expires_at="2013-06-03",
        private_access=True,
        permissions=[Permission(access_methods=["get"], minimum_interval=0)],
    )
    trigger = eeml.decode(Trigger, b"<datastream_trigger><stream_id>a</stream_id></datastream_trigger>")
    assert trigger == Trigger(stream_id="a")
    assert eeml.decode(User, b"<user><full-name>K</full-name></user>") == User(full_name="K")


def test_instants_are_read_as_rails_shows_them():
    key = eeml.decode(Key, b"<key><expires-at>2013-03-27 01:23:45 UTC</expires-at></key>")
    assert key.expires_at == datetime(2013, 3, 27, 1, 23, 45, tzinfo=UTC)


def test_lists_of_accounts_need_no_attribute():
    assert eeml.decode(KeyList, b"<keys><key/></keys>") == KeyList(keys=[Key()])
    assert eeml.decode(TriggerList, b"<datastream-triggers/>") == TriggerList()


INTERVAL = "<permissions><permission><minimum-interval>x</minimum-interval></permission></permissions>"


@pytest.mark.parametrize(
    ("kind", "document", "path", "reason", "invalid"),
    [
        (Environment, "<eeml/>", "", "expected one 'environment' element, found 0", False),
        (Environment, "<environment/>", "", "the root is 'environment', expected 'eeml'", False),
        (Environment, "<eeml><environment/><environment/></eeml>", "", "found 2", False),
        (Datastream, in_feed(""), "environment", "expected one 'data' element, found 0", False),
        (Datastream, in_feed("<data/><data/>"), "environment", "expected one 'data' element, found 2", False),
        (Datapoint, in_feed("<data/>"), "data", "expected one 'datapoints' element, found 0", False),
        (Datapoint, in_feed("<data><datapoints/></data>"), "data.datapoints", "expected one 'value'", False),
        (Environment, in_feed("<data/>"), "data[0].id", "a datastream needs an id", True),
        (Environment, in_feed("<data id='a'/><data id='a'/>"), "data[1].id", "a second datastream 'a'", True),
        (Environment, in_feed("<private>perhaps</private>"), "private", "is neither true nor false", True),
        (Environment, "<eeml><environment id='x'/></eeml>", "id", "'x' is not a whole number", True),
        (Environment, "<eeml><environment updated='x'/></eeml>", "updated", "is not an ISO 8601", True),
        (Environment, in_feed("<location><lat>north</lat></location>"), "location.lat", "north", True),
        (Environment, in_feed("<location><lon>inf</lon></location>"), "location.lon", "inf", True),
        (
            Environment,
            in_feed("<location><waypoints><waypoint at='x'/></waypoints></location>"),
            "location.waypoints[0].at",
            "ISO 8601",
            True,
        ),
        (
            Datastream,
            in_feed("<data><current_value at='soon'>1</current_value></data>"),
            "data.current_value.at",
            "'soon' is not an ISO 8601",
            True,
        ),
        (
            Environment,
            in_feed("<data id='a'><datapoints><value/><value at='x'/></datapoints></data>"),
            "data[0].datapoints[1].at",
            "'x' is not an ISO 8601",
            True,
        ),
        (
            Datapoint,
            in_feed("<data><datapoints><value at='x'/></datapoints></data>"),
            "data.datapoints.value.at",
            "'x' is not",
            True,
        ),
        (EnvironmentList, "<eeml><totalResults>x</totalResults></eeml>", "totalResults", "'x' is not", True),
        (
            EnvironmentList,
            "<eeml><environment/><environment id='x'/></eeml>",
            "environment[1].id",
            "'x' is not",
            True,
        ),
        (Trigger, "<key/>", "", "the root is 'key', expected 'datastream-trigger'", False),
        (Trigger, "<datastream-trigger><id>x</id></datastream-trigger>", "id", "'x' is not", True),
        (
            KeyList,
            f"<keys><key/><key>{INTERVAL}</key></keys>",
            "keys[1].permissions[0].minimum_interval",
            "'x' is not",
            True,
        ),
        (Environment, "<eeml><environment></eeml>", "", "1:22: mismatched tag", False),
        (Environment, "<eeml>\n<environment a=1/></eeml>", "", "2:16: not well-formed", False),
        (Environment, "", "", "", False),
        (Environment, in_feed("&e;"), "", "1:20: undefined entity", False),
    ],
)
def test_what_is_wrong_is_named_with_its_place(kind, document, path, reason, invalid):
    error = refusal(kind, document)
    assert (error.path, error.invalid) == (path, invalid)
    assert reason in error.reason


TITLE = "<eeml><environment><title>{}</title></environment></eeml>"
LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "document",
    [
        f'<!DOCTYPE eeml [<!ENTITY a0 "ha">{LAUGHS}]>{TITLE.format("&a9;")}',
        f'<!DOCTYPE eeml [<!ENTITY e SYSTEM "file:///etc/passwd">]>{TITLE.format("&e;")}',
        f'<!DOCTYPE eeml SYSTEM "http://127.0.0.1:9/eeml.dtd">{TITLE.format("x")}',
    ],
)
def test_a_document_type_declaration_is_refused_before_it_is_read(document):
    assert refusal(Environment, document).reason == "a document type declaration is not accepted"


def test_a_document_of_too_many_bytes_elements_or_levels_is_refused():
    feed = in_feed("<tag>a</tag>" * 50)
    assert "bytes" in refusal(Environment, feed, limits=DecodeLimits(document_bytes=100)).reason
    assert "elements" in refusal(Environment, feed, limits=DecodeLimits(elements=50)).reason
    assert "deeper" in refusal(Environment, in_feed("<a>" * 40 + "</a>" * 40)).reason
    refusal(Environment, "<a>" * 100_000)


def test_a_number_of_very_many_digits_is_text_or_refused():
    digits = "9" * 100_000
    assert stream_of(f"<current_value>{digits}</current_value>").current_value == digits
    error = refusal(Environment, f"<eeml><environment id='{digits}'/></eeml>")
    assert (error.path, error.invalid) == ("id", True)
    assert len(error.reason) < 200
    assert len(refusal(Environment, in_feed(f"<private>{digits}</private>")).reason) < 200
    assert len(refusal(Environment, in_feed(f"<location><lat>{digits}</lat></location>")).reason) < 200


def test_version_1_has_a_value_with_its_extremes_and_whole_seconds():
    """What Net::Pachube's tests hold as an answer of the service."""
    when = datetime(2009, 4, 30, 22, 24, 11, 250000, tzinfo=UTC)
    feed = Environment(
        id=1,
        title="Temperature",
        updated=when,
        creator="http://www.haque.co.uk",
        datastreams=[
            Datastream(
                id="0",
                current_value="22.3",
                at=when,
                min_value="0.0",
                max_value="34.0",
                tags=["temperature"],
                unit=Unit(type="derivedSI", symbol="C", label="Celsius"),
                datapoints=[Datapoint(at=when, value="22.3")],
            ),
            Datastream(id="1"),
        ],
    )
    assert eeml.encode(feed, legacy=True).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<eeml xmlns="http://www.eeml.org/xsd/005" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' version="5" xsi:schemaLocation="http://www.eeml.org/xsd/005 http://www.eeml.org/xsd/005/005.xsd">'
        '<environment updated="2009-04-30T22:24:11Z" id="1" creator="http://www.haque.co.uk">'
        "<title>Temperature</title>"
        '<data id="0"><tag>temperature</tag><value minValue="0.0" maxValue="34.0">22.3</value>'
        '<unit type="derivedSI" symbol="C">Celsius</unit></data>'
        '<data id="1"></data>'
        "</environment></eeml>\n"
    )
    again = eeml.decode(Environment, eeml.encode(feed, legacy=True)).datastreams["0"]
    assert (again.current_value, again.min_value, again.max_value) == ("22.3", "0.0", "34.0")
    alone = eeml.encode(feed.datastreams["0"], legacy=True, environment=feed)
    assert b'id="1" creator="http://www.haque.co.uk"><data id="0"><tag>' in alone
