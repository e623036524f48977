"""Every benchmark runs and counts right; what it measures here means nothing, and nothing is timed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from rich.console import Console

from benchmarks import codecs, fanout, history, joule, joule_relay, outbox, requests, scale, scale_store
from benchmarks.__main__ import BY_NAME, SUBJECTS, main
from benchmarks.codecs import feed_of
from benchmarks.harness import FULL, QUICK, TINY, Contender, Group, Sample, repeated, show
from txbridge.hub.sqlite_reads import read_feed, read_history
from txbridge.hub.sqlite_schema import connect_for_writing
from txbridge.hub.sqlite_writes import create_account, create_feed
from txbridge.hub.store import HistoryQuery, KeyRecord
from txbridge.model.accounts import Key
from txbridge.model.instants import from_microseconds
from txbridge.model.structures import Datapoint, Datastream, Environment


def contender(name: str, *rates: int) -> Contender:
    """One that does so many units in a second in each of its turns, the uncounted one first."""
    samples = iter([Sample(1, 1.0, 0.5), *(Sample(rate, 1.0, 0.5) for rate in rates)])
    return Contender(name, lambda: next(samples))


@pytest.mark.parametrize("subject", [codecs, requests, fanout, history, outbox, scale])
def test_a_benchmark_runs_and_takes_as_many_turns_as_it_says(subject: Any) -> None:
    turns: list[str] = []
    size = evolve(TINY, connections=(2,), subscribers=(3,))
    groups = subject.run(size, turns.append)
    assert len(turns) == subject.turns(size)
    for group in groups:
        assert len(group.results) >= 2, group.title
        assert any("txbridge" in result.name for result in group.results), group.title
        for result in group.results:
            assert result.rate > 0
            assert result.low <= result.ratio <= result.high
        assert group.results[0].ratio == 1.0


def test_the_servers_and_clients_are_measured_beside_aiohttp_when_it_is_there() -> None:
    groups = requests.run(TINY, lambda what: None)
    expected = 3 if find_spec("aiohttp") is not None else 2
    assert [len(group.results) for group in groups] == [expected] * 3


def test_a_store_of_the_scale_is_as_deep_as_it_says_and_as_the_writer_would_have_left_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "base").mkdir()
    made = scale_store.make(tmp_path / "base", 20)
    points = scale_store.deepen(tmp_path / "base", tmp_path / "deep", made, 3)
    connection = connect_for_writing(tmp_path / "deep" / scale_store.FILE)
    everything = HistoryQuery(from_microseconds(0), made.end, limit=10**6)
    counts = []
    for feed_id in range(1, made.dense + 1):
        streams = read_feed(connection, feed_id).environment.datastreams
        histories = read_history(connection, feed_id, list(streams), everything)
        for stream, found in zip(streams.values(), histories, strict=True):
            last = found.datapoints[-1] if found.datapoints else Datapoint()
            assert (stream.at, stream.current_value) == (last.at, last.value)
            counts.append(len(found.datapoints))
    connection.close()
    dense = int(31 * 86400 / (1_000_000 / 60))
    assert counts == [3] * 200 + [6] * 10 + [60] + [0] * 9 + [dense] + [0] * 9
    assert points == sum(counts)


def test_a_ratio_is_of_one_round_and_not_of_the_medians() -> None:
    group = Group.measure("", "", [contender("a", 10, 20, 40), contender("b", 20, 20, 20)], 3, lambda _: None)
    ours = group.results[1]
    assert (ours.ratio, ours.low, ours.high) == (1.0, 0.5, 2.0)
    assert (group.results[0].rate, ours.rate) == (20, 20)


def test_the_order_turns_about_in_every_second_round() -> None:
    order: list[str] = []
    first, second = contender("a", 1, 1), contender("b", 1, 1)
    Group.measure("t", "", [first, second], 2, order.append)
    assert order == ["t: a", "t: b", "t: a", "t: b", "t: b", "t: a"]


def test_repeated_work_is_done_at_least_once_and_counted() -> None:
    sample = repeated(lambda: 7, 0.0)()
    assert sample.units == 7
    assert sample.seconds > 0


def test_the_codecs_document_has_as_many_points_as_it_says() -> None:
    assert [len(stream.datapoints) for stream in feed_of(4).datastreams.values()] == [4] * codecs.STREAMS


@pytest.mark.parametrize("as_json", [True, False])
def test_results_are_shown_as_tables_or_as_json(as_json: bool) -> None:
    ours = contender("b", 25)
    with_more = Contender("b", lambda: evolve(ours.run(), more={"hub µs": 4.25}))
    theirs = Contender("a", lambda: Sample(10, 1.0, 0.5, {"hub µs": 1.0}))
    group = Group.measure("Title", "things", [theirs, with_more], 1, lambda _: None)
    file = StringIO()
    show([group], Console(file=file, width=100), as_json)
    shown = file.getvalue()
    if as_json:
        result = json.loads(shown)[0]["results"][1]
        assert (result["ratio"], result["more"]) == (2.5, {"hub µs": 4.25})
    else:
        assert "2.50..2.50" in shown
        assert "things/s" in shown
        assert "hub µs" in shown
        assert "4.25" in shown


def test_an_unknown_benchmark_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["codec"])
    assert "there is no benchmark 'codec'; there are codecs, requests" in capsys.readouterr().err


def test_rows_of_joule_are_measured_on_request_and_are_a_million_if_there_is_time() -> None:
    assert "joule" in BY_NAME
    assert "joule" not in SUBJECTS
    assert [joule.measured_rows(size) for size in (FULL, QUICK, TINY)] == [1_000_000, 150_000, 10_000]
    assert joule.turns(TINY) == 5 * 2 * 2


def test_what_a_relay_brings_from_joule_is_measured_on_request() -> None:
    assert "joule-relay" in BY_NAME
    assert "joule-relay" not in SUBJECTS
    assert joule_relay.turns(TINY) == 2 * 2 * 2


@pytest.fixture
def hub_of(tmp_path: Path) -> Iterator[Callable[[Sequence[int]], tuple[Path, int]]]:
    """Makes the file of a hub with a feed whose datastreams have so many points, a microsecond apart."""
    file = tmp_path / "hub.sqlite"
    connection = connect_for_writing(file)
    create_account(connection, "ann", KeyRecord(b"d", "ann", Key(label="k")))

    def make(counts: Sequence[int]) -> tuple[Path, int]:
        streams = [
            Datastream(
                id=f"e{n}", datapoints=[Datapoint(at=from_microseconds(at), value=1) for at in range(count)]
            )
            for n, count in enumerate(counts)
        ]
        feed = Environment(title="x", datastreams=streams)
        written = create_feed(connection, "ann", feed, from_microseconds(0), lambda feed_id: False)
        return file, written.feed_id

    yield make
    connection.close()


def test_the_points_that_a_hub_has_are_counted(hub_of: Callable[[Sequence[int]], tuple[Path, int]]) -> None:
    hub_of([3])
    assert joule_relay.stored(*hub_of([5] * joule_relay.WIDTH)) == (5, 0, 4)


@pytest.mark.parametrize("counts", [[5] * 7, [5, 5, 5, 5, 5, 5, 5, 4], [5] * 9])
def test_a_hub_that_misses_points_is_not_measured(
    hub_of: Callable[[Sequence[int]], tuple[Path, int]], counts: Sequence[int]
) -> None:
    with pytest.raises(RuntimeError, match="the hub has"):
        joule_relay.stored(*hub_of(counts))
