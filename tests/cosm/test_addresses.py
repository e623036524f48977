"""What an address means, in every way it was ever written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.cosm.addresses import Address, address_of


@pytest.mark.parametrize(
    ("path", "host", "meant"),
    [
        ("/v2/feeds/7.json", "", (2, "feeds/7", "json")),
        ("/v2/feeds", "www.pachube.com", (2, "feeds", None)),
        ("/v1/feeds/7.xml", "api.pachube.com", (1, "feeds/7", "xml")),
        ("/v1/feeds/7/datastreams/0.csv", "", (1, "feeds/7/datastreams/0", "csv")),
        ("/v1/feeds/", "", (1, "feeds", None)),
        ("/api/7.xml", "www.pachube.com", (1, "feeds/7", "xml")),
        ("/api/7", "127.0.0.1:8080", (1, "feeds/7", None)),
        ("/api/feeds/7.CSV", "", (1, "feeds/7", "csv")),
        ("/api/7/datastreams/0.csv", "", (1, "feeds/7/datastreams/0", "csv")),
        ("/api.xml", "", (1, "feeds", "xml")),
        ("/api/feeds.xml", "", (1, "feeds", "xml")),
        ("/feeds/7.json", "api.cosm.com", (2, "feeds/7", "json")),
        ("/feeds/7.json", "API.xively.com:8080", (2, "feeds/7", "json")),
        ("/triggers", "api.house.example", (2, "triggers", None)),
        ("/feeds/7.xml", "www.pachube.com", (1, "feeds/7", "xml")),
        ("/feeds/7.csv", "Pachube.com:80", (1, "feeds/7", "csv")),
        (
            "/feeds/7/datastreams/0/history.png",
            "www.pachube.com",
            (1, "feeds/7/datastreams/0/history", "png"),
        ),
        ("/feeds/7/datastreams/0/archive.csv", "", (1, "feeds/7/datastreams/0/archive", "csv")),
        ("/v2/feeds/7/datastreams/room.1", "", (2, "feeds/7/datastreams/room.1", None)),
    ],
)
def test_an_address_means_one_thing(path, host, meant):
    version, segments, extension = meant
    assert address_of(path, host) == Address(version, tuple(segments.split("/")), extension)


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/", ""),
        ("/v1", ""),
        ("/v2.json", ""),
        ("/v3/feeds", "api.cosm.com"),
        ("/api/keys", ""),
        ("/api/v2/feeds", ""),
        ("/feeds/7.json", "127.0.0.1:8080"),
        ("/keys.xml", "www.pachube.com"),
        ("/feeds/7.xml", "xn--www.pachube.com.example"),
        ("/feeds/7.json", "my-api.example"),
        ("/feeds/7/keys/0/history.png", ""),
        ("/index.html", "api.cosm.com"),
        ("/v2//feeds", ""),
        ("/v2/%ff", ""),
    ],
)
def test_anything_else_is_no_address_of_the_api(path, host):
    assert address_of(path, host) is None


@given(st.text("/.%avpi127feds", max_size=30), st.sampled_from(["", "api.cosm.com", "www.pachube.com"]))
def test_any_path_has_an_answer(path, host):
    address = address_of(f"/{path}", host)
    assert address is None or (address.version in (1, 2) and all(address.segments))
