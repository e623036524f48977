"""What the program is told: defaults, precedence, and every problem at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from txbridge.daemon.config import (
    ClientConfig,
    CosmEnd,
    HubConfig,
    IobeamConfig,
    JouleEnd,
    NodeConfig,
    client_config,
    copy_end,
    data_dir,
    demo_config,
    hub_config,
    instant_or_ago,
    interval_seconds,
    iobeam_config,
    node_config,
    node_path,
    span_of,
    state_dir,
)
from txbridge.errors import ConfigError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_a_hub_listens_on_this_machine_alone_unless_it_is_told_otherwise():
    assert hub_config(data="d") == HubConfig("d", listen=("tcp:8080:interface=127.0.0.1",))


def test_every_problem_of_a_hub_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        hub_config(data="", listen=["8080", "nonsense", "tcp:1", "tcp:1"], api_key_text=" \n")
    assert caught.value.problems == (
        "--data: say in which directory to keep the data",
        "--listen: '8080' is no endpoint; for a port say tcp:8080",
        "--listen: 'nonsense' is no endpoint, such as tcp:8080:interface=127.0.0.1",
        "'tcp:1' is given twice",
        "--api-key-file: there is no key in it",
    )


def test_a_port_picked_by_the_system_may_be_asked_for_more_than_once():
    assert hub_config(data="d", listen=["tcp:0"], paws_tcp=["tcp:0"]).paws_tcp == ("tcp:0",)


def test_a_key_loses_the_end_of_its_line_and_keeps_what_is_inside():
    assert hub_config(data="d", api_key_text=" my key\n").api_key == "my key"


def test_a_key_of_several_lines_is_refused_without_being_shown():
    with pytest.raises(ConfigError) as caught:
        hub_config(data="d", api_key_text="se\ncret")
    assert "cret" not in str(caught.value)
    assert "one line" in str(caught.value)


def test_keys_are_in_no_repr():
    assert "secret" not in repr(hub_config(data="d", api_key_text="secret"))
    assert "secret" not in repr(client_config({"TXBRIDGE_API_KEY": "secret"}))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/txbridge:/other", "HOME": "/h"}, "/var/lib/txbridge"),
        ({"XDG_DATA_HOME": "/x", "HOME": "/h"}, "/x/txbridge"),
        ({"HOME": "/h"}, "/h/.local/share/txbridge"),
        ({}, None),
    ],
)
def test_data_goes_where_the_environment_has_a_place_for_it(environ, expected):
    assert data_dir(environ) == expected


@pytest.mark.parametrize(
    ("text", "url", "socket_url"),
    [
        ("http://hub.example", "http://hub.example/v2", "ws://hub.example:80"),
        ("http://hub.example:81/", "http://hub.example:81/v2", "ws://hub.example:81"),
        ("https://hub.example/api/v2/", "https://hub.example/api/v2", "wss://hub.example:443"),
        ("http://[::1]:8080/v2", "http://[::1]:8080/v2", "ws://[::1]:8080"),
    ],
)
def test_a_hubs_address_needs_no_path_and_gives_its_websocket(text, url, socket_url):
    config = client_config({"TXBRIDGE_URL": text})
    assert (config.url, config.socket_url) == (url, socket_url)


@pytest.mark.parametrize(
    "text",
    [
        "hub.example",
        "ftp://hub.example",
        "http://",
        "http://h:99999",
        "http://h:0",
        "http://h/?a=b",
        "http://[::",
    ],
)
def test_what_is_no_address_of_a_hub_is_refused(text):
    with pytest.raises(ConfigError, match="TXBRIDGE_URL"):
        client_config({"TXBRIDGE_URL": text})


def test_credentials_in_an_address_are_refused_without_being_shown():
    with pytest.raises(ConfigError) as caught:
        client_config({}, url="http://user:secret@hub.example")
    assert "secret" not in str(caught.value)
    assert "--url" in str(caught.value)


def test_an_option_goes_before_the_environment():
    environ = {"TXBRIDGE_URL": "http://a", "TXBRIDGE_API_KEY": "k1"}
    config = client_config(environ, url="http://b", api_key_text="k2\n")
    assert config == ClientConfig("http://b/v2", "k2")


def test_the_local_hubs_key_is_sent_to_no_other_hub():
    assert client_config({}, local_key_text="mine").api_key == "mine"
    assert client_config({"TXBRIDGE_URL": "http://elsewhere"}, local_key_text="mine").api_key is None
    assert client_config({"TXBRIDGE_API_KEY": "given"}, local_key_text="mine").api_key == "given"


@pytest.mark.parametrize("text", ["", "two\nlines"])
def test_a_key_in_the_environment_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="TXBRIDGE_API_KEY"):
        client_config({"TXBRIDGE_API_KEY": text})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("2026-11-21T06:00:00Z", NOW - timedelta(hours=6)),
        ("2026-11-21T07:00:00+01:00", NOW - timedelta(hours=6)),
        ("2026-11-21", NOW - timedelta(hours=12)),
        ("6hours", NOW - timedelta(hours=6)),
        ("6h", NOW - timedelta(hours=6)),
        ("90 s", NOW - timedelta(seconds=90)),
        ("1month", datetime(2026, 10, 21, 12, tzinfo=UTC)),
    ],
)
def test_an_instant_may_be_written_as_how_long_ago(text, expected):
    assert instant_or_ago("--since", text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "", "9999years", "6 parsecs", "2026-13-01"])
def test_what_is_no_instant_is_refused_by_the_options_name(text):
    with pytest.raises(ConfigError, match="--since"):
        instant_or_ago("--since", text, NOW)


@pytest.mark.parametrize(
    ("start", "end", "duration", "hours"),
    [
        (None, None, None, (-6, 0)),
        (None, None, "2h", (-2, 0)),
        ("10h", None, None, (-10, 0)),
        ("10h", None, "1h", (-10, -9)),
        (None, "3h", None, (-9, -3)),
        (None, "3h", "1h", (-4, -3)),
        ("5h", "3h", None, (-5, -3)),
    ],
)
def test_a_span_is_named_by_any_two_of_its_parts(start, end, duration, hours):
    span = span_of(start=start, end=end, duration=duration, now=NOW)
    assert (span.start, span.end) == tuple(NOW + timedelta(hours=count) for count in hours)


def test_three_parts_of_a_span_say_too_much():
    with pytest.raises(ConfigError, match="two of --start, --end and --duration"):
        span_of(start="2h", end="1h", duration="1h", now=NOW)


def test_a_span_that_ends_before_it_starts_is_refused():
    with pytest.raises(ConfigError, match="before the start"):
        span_of(start="1h", end="2h", duration=None, now=NOW)


def test_every_problem_of_a_span_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        span_of(start="soon", end=None, duration="long", now=NOW)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["--start", "--duration"]


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("60", 60), ("5minutes", 300), ("1day", 86400)])
def test_an_interval_is_one_that_servers_know(text, seconds):
    assert interval_seconds(text) == seconds


@pytest.mark.parametrize("text", ["7", "1month", "often", "-30"])
def test_other_intervals_are_refused_with_the_list(text):
    with pytest.raises(ConfigError, match="0, 30, 60, 300"):
        interval_seconds(text)


def test_a_demonstration_takes_any_free_port_and_zero_seconds_are_for_ever():
    config = demo_config(data="d", duration=0)
    assert config.hub.listen == ("tcp:0:interface=127.0.0.1",)
    assert config.duration is None


def test_every_problem_of_a_demonstration_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        demo_config(data="d", listen=["x"], duration=-1, interval=float("nan"))
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "--duration",
        "--interval",
        "--listen",
    ]


# ---------------------------------------------------------------------------------------- joule


def test_a_node_is_named_or_in_the_environment_or_the_default_one():
    environ = {"TXBRIDGE_JOULE_URL": "http://node:8088", "TXBRIDGE_JOULE_API_KEY": "secret\n"}
    assert node_config({}) == NodeConfig()
    assert node_config(environ) == NodeConfig("", "http://node:8088", "secret")
    assert node_config(environ, "basement") == NodeConfig("basement")
    assert "secret" not in repr(node_config(environ))


@pytest.mark.parametrize("only", ["TXBRIDGE_JOULE_URL", "TXBRIDGE_JOULE_API_KEY"])
def test_a_node_of_the_environment_needs_an_address_and_a_key(only):
    with pytest.raises(ConfigError) as caught:
        node_config({only: "secret"})
    assert only in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:8088", "localhost:8088", "ftp://node"])
def test_an_address_of_a_node_begins_with_its_scheme(url):
    with pytest.raises(ConfigError, match="TXBRIDGE_JOULE_URL: it must begin with http:// or https://"):
        node_config({"TXBRIDGE_JOULE_URL": url, "TXBRIDGE_JOULE_API_KEY": "secret"})


@pytest.mark.parametrize("text", ["/live/random", "live/random", "/live/random/"])
def test_a_path_on_a_node_begins_with_a_slash_and_ends_without(text):
    assert node_path(text) == "/live/random"
    assert node_path("/") == "/"


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("joule:/live/random", JouleEnd("", "/live/random")),
        ("joule:/", JouleEnd("", "/")),
        ("joule:/a:/b", JouleEnd("", "/a:/b")),
        ("joule:my node:/live/", JouleEnd("my node", "/live")),
        ("cosm:7", CosmEnd(7)),
        ("cosm:new:Boiler: cellar", CosmEnd(None, "Boiler: cellar")),
    ],
)
def test_an_end_of_a_copy_names_its_platform_and_its_place(text, end):
    assert copy_end(text) == end


@pytest.mark.parametrize(
    "text", ["", "/live", "joule", "joule:live", "joule::/a", "cosm:", "cosm:0", "cosm:x", "cosm:new:"]
)
def test_what_is_no_end_of_a_copy_is_refused(text):
    with pytest.raises(ConfigError, match="is neither joule:/path"):
        copy_end(text)


def test_the_state_of_copies_is_in_the_usual_place():
    assert state_dir({"XDG_STATE_HOME": "/state", "HOME": "/home/me"}) == "/state/txbridge"
    assert state_dir({"HOME": "/home/me"}) == "/home/me/.local/state/txbridge"
    assert state_dir({}) is None


# --------------------------------------------------------------------------------------------- iobeam

# {"pid": 1234}, as the service wrote tokens: a number as "kid", and padding
TOKEN = "eyJraWQiOjEwfQ==.eyJwaWQiOjEyMzR9.c2lnbmF0dXJl"


def test_a_token_says_by_itself_which_project_it_opens():
    config = iobeam_config({"TXBRIDGE_IOBEAM_TOKEN": f" {TOKEN}\n"})
    assert config == IobeamConfig("http://127.0.0.1:8080/v1", 1234, TOKEN)
    assert TOKEN not in repr(config)


@pytest.mark.parametrize(
    ("environ", "given", "url"),
    [
        ({"TXBRIDGE_URL": "https://hub.test/"}, None, "https://hub.test/v1"),
        ({"TXBRIDGE_URL": "https://hub.test/below/v2"}, None, "https://hub.test/below/v1"),
        ({"TXBRIDGE_URL": "http://a", "TXBRIDGE_IOBEAM_URL": "http://b"}, None, "http://b/v1"),
        ({"TXBRIDGE_IOBEAM_URL": "http://b/v1/"}, None, "http://b/v1"),
        ({"TXBRIDGE_IOBEAM_URL": "http://b"}, "http://c/api", "http://c/api"),
    ],
)
def test_the_service_is_the_hub_unless_another_one_is_named(environ, given, url):
    config = iobeam_config({**environ, "TXBRIDGE_IOBEAM_TOKEN": TOKEN}, url=given)
    assert config.url == url


def test_what_is_given_goes_before_the_environment_and_that_before_the_token():
    environ = {"TXBRIDGE_IOBEAM_TOKEN": TOKEN, "TXBRIDGE_IOBEAM_PROJECT": "7"}
    assert iobeam_config(environ).project == 7
    assert iobeam_config(environ, token_text="e30.e30.e30", project=8) == IobeamConfig(
        "http://127.0.0.1:8080/v1", 8, "e30.e30.e30"
    )


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({}, "TXBRIDGE_IOBEAM_TOKEN or TXBRIDGE_IOBEAM_TOKEN_FILE must give the project's token; "),
        ({"TXBRIDGE_IOBEAM_TOKEN": " "}, "TXBRIDGE_IOBEAM_TOKEN: there is no key in it"),
        ({"TXBRIDGE_IOBEAM_TOKEN": "secret"}, "TXBRIDGE_IOBEAM_TOKEN: token: is no project token: "),
        ({"TXBRIDGE_IOBEAM_TOKEN": f"a {TOKEN}"}, "TXBRIDGE_IOBEAM_TOKEN: token: has characters that no"),
        ({"TXBRIDGE_IOBEAM_TOKEN": "e30.e30.e30"}, "TXBRIDGE_IOBEAM_PROJECT: the token names no project"),
        (
            {"TXBRIDGE_IOBEAM_TOKEN": TOKEN, "TXBRIDGE_IOBEAM_PROJECT": "0"},
            "TXBRIDGE_IOBEAM_PROJECT: '0' is not the number of a project",
        ),
        (
            {"TXBRIDGE_IOBEAM_TOKEN": TOKEN, "TXBRIDGE_IOBEAM_URL": "ftp://b"},
            "TXBRIDGE_IOBEAM_URL: it is no address",
        ),
    ],
)
def test_what_is_wrong_with_the_way_to_iobeam_is_told_without_the_token(environ, problem):
    with pytest.raises(ConfigError) as caught:
        iobeam_config(environ)
    assert caught.value.problems[0].startswith(problem)
    assert "secret" not in str(caught.value)


def test_the_iobeam_api_of_a_hub_is_beside_its_own():
    assert ClientConfig("https://hub.test/v2").iobeam_url == "https://hub.test/v1"


def test_the_feeds_of_an_account_are_bounded_by_some_number():
    assert hub_config(data="d").max_feeds == 10_000
    for most in (0, -1, 2**63):
        with pytest.raises(ConfigError) as caught:
            hub_config(data="d", max_feeds=most)
        assert caught.value.problems == (f"--max-feeds: {most} is not from 1 to {2**63 - 1}",)
