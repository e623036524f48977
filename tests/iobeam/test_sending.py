"""Rows leave a store when they have arrived, and at no other moment."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed

from tests.support.deferreds import result_of
from txbridge.errors import ConnectionLost, NotFound, RequestRejected, ServerFailed, TooLarge
from txbridge.iobeam.sending import MOST_REFUSALS, send_store
from txbridge.iobeam.structures import MAX_POINTS, DataStore

LOST = ConnectionLost("import_table", "gone")
REFUSED = RequestRejected("import_table", 400, "bad value")
TOO_LARGE = TooLarge("import_table", 413)
AWAY = ServerFailed("import_table", 503)


class Peer:
    """Takes rows, or fails as it is told to: with one error per request, None for none, and then none."""

    def __init__(self, *answers, holds=MAX_POINTS, refuses=lambda value: False):
        self.answers = list(answers)
        self.holds = holds
        self.refuses = refuses
        self.refuses_size = lambda values: False
        self.requests = []
        self.cells = []

    def send(self, columns, rows):
        self.requests.append((list(columns), [(row.at, *row.values) for row in rows]))
        assert len(columns) * len(rows) <= MAX_POINTS
        error = self.answers.pop(0) if self.answers else None
        if error is None and len(columns) * len(rows) > self.holds:
            error = TOO_LARGE
        if error is None and any(self.refuses_size(row.values) for row in rows):
            error = TOO_LARGE
        if error is None and any(self.refuses(value) for row in rows for value in row.values):
            error = REFUSED
        if error is not None:
            return fail(error)
        self.cells += [
            (row.at, column, value)
            for row in rows
            for column, value in zip(columns, row.values, strict=True)
            if value is not None
        ]
        return succeed(None)

    def sizes(self):
        return [(len(columns), len(rows)) for columns, rows in self.requests]


def sending(store, peer):
    return result_of(Deferred.fromCoroutine(send_store(store, peer.send)))


def store_of(columns, rows, start=0):
    store = DataStore([f"c{number}" for number in range(columns)])
    fill(store, rows, start)
    return store


def fill(store, rows, start=0):
    for row in range(start, start + rows):
        store.add(row, {name: row * 10_000 + at for at, name in enumerate(store.columns())})


def cells(store):
    return [
        (row["time"], name, row[name])
        for row in store.rows()
        for name in store.columns()
        if row[name] is not None
    ]


def test_an_empty_store_asks_nothing():
    peer = Peer()
    assert sending(DataStore(["a"]), peer) is None
    assert peer.requests == []


@pytest.mark.parametrize(
    ("columns", "rows", "sizes"),
    [
        (3, 667, [(3, 333), (3, 333), (3, 1)]),
        (1, 1000, [(1, 1000)]),
        (1000, 2, [(1000, 1), (1000, 1)]),
        (600, 2, [(600, 1), (600, 1)]),
    ],
)
def test_a_request_holds_at_most_1000_points_in_whole_rows(columns, rows, sizes):
    store, peer = store_of(columns, rows), Peer()
    wanted = cells(store)
    assert sending(store, peer) is None
    assert (peer.sizes(), peer.cells, store.rows()) == (sizes, wanted, [])


def test_a_row_of_more_than_1000_columns_goes_in_parts():
    store, peer = store_of(2500, 2), Peer()
    wanted = cells(store)
    assert sending(store, peer) is None
    assert peer.sizes() == [(1000, 1), (1000, 1), (500, 1)] * 2
    assert (peer.cells, store.rows()) == (wanted, [])


def test_a_part_without_values_is_not_sent():
    store, peer = DataStore([f"c{number}" for number in range(2001)]), Peer()
    store.add(1, {"c2000": 5})
    assert sending(store, peer) is None
    assert peer.requests == [(["c2000"], [(1000, 5)])]
    assert store.rows() == []


def test_after_a_failure_what_arrived_is_not_sent_again():
    store, peer = store_of(3, 667), Peer(None, LOST)
    wanted = cells(store)
    with pytest.raises(ConnectionLost):
        sending(store, peer)
    assert len(peer.requests) == 2  # nothing more was tried
    assert len(store.rows()) == 667 - 333
    assert sending(store, peer) is None
    assert (peer.cells, store.rows()) == (wanted, [])


def test_the_rest_of_a_wide_row_is_sent_later():
    store, peer = store_of(2500, 3), Peer(None, AWAY)
    wanted = cells(store)
    with pytest.raises(ServerFailed):
        sending(store, peer)
    fill(store, 1, 3)
    wanted += cells(store)[-2500:]
    assert sending(store, peer) is None
    assert (peer.cells, store.rows()) == (wanted, [])


@pytest.mark.parametrize("holds", [1, 2, 7, 100, 999])
def test_what_is_too_large_is_halved_until_it_fits(holds):
    store, peer = store_of(5, 30), Peer(holds=holds)
    wanted = cells(store)
    assert sending(store, peer) is None
    assert (sorted(peer.cells), store.rows()) == (sorted(wanted), [])


def test_what_is_too_large_by_itself_stays_and_is_told():
    store, peer = store_of(1, 3), Peer(holds=0)
    assert sending(store, peer) is TOO_LARGE
    assert len(store.rows()) == 3


def test_a_row_that_is_too_large_does_not_slow_down_the_others():
    store, peer = DataStore(["a", "b"]), Peer()
    peer.refuses_size = lambda values: "large" in values
    store.add(0, {"a": "large", "b": 1})
    for row in range(1, 3000):
        store.add(row, {"a": row, "b": row})
    assert sending(store, peer) is TOO_LARGE
    assert [row["a"] for row in store.rows()] == ["large"]
    assert len(peer.requests) < 60


def test_a_refused_row_is_found_and_the_others_are_sent():
    store, peer = store_of(1, 2500), Peer(refuses=lambda value: value in (7_770_000, 20_000_000))
    assert sending(store, peer) is REFUSED
    assert [row["c0"] for row in store.rows()] == [7_770_000, 20_000_000]
    assert len(peer.cells) == len(set(peer.cells)) == 2498
    assert len(peer.requests) < 60


def test_a_service_that_takes_nothing_is_not_asked_about_each_row():
    store, peer = store_of(1, 5000), Peer(refuses=lambda value: True)
    assert sending(store, peer) is REFUSED
    assert len(store.rows()) == 5000
    assert len(peer.requests) <= 2 * MOST_REFUSALS


def test_a_device_that_is_not_there_ends_the_sending():
    store, peer = store_of(1, 2500), Peer(NotFound("import_table", 404))
    with pytest.raises(NotFound):
        sending(store, peer)
    assert (len(peer.requests), len(store.rows())) == (1, 2500)


def test_rows_that_are_added_or_dropped_meanwhile_are_for_the_next_sending_or_for_none():
    store, held = store_of(1, 1500), []

    def send(columns, rows):
        held.append((Deferred(), [row.values[0] for row in rows]))
        return held[-1][0]

    work = Deferred.fromCoroutine(send_store(store, send))
    fill(store, 1, 1500)
    held[0][0].callback(None)
    assert len(held[1][1]) == 500
    store.clear()
    fill(store, 1, 1501)
    held[1][0].callback(None)
    assert result_of(work) is None
    assert [row["c0"] for row in store.rows()] == [15_010_000]


ANSWERS = st.lists(st.sampled_from([None, None, LOST, REFUSED, TOO_LARGE, AWAY]), max_size=12)


@given(
    columns=st.sampled_from([1, 3, 400, 1001]),
    steps=st.lists(st.tuples(st.integers(0, 3), ANSWERS), min_size=1, max_size=4),
)
def test_whatever_fails_every_value_is_delivered_once_or_kept(columns, steps):
    store = store_of(columns, 0)
    added, delivered = [], []
    row = 0
    for rows, answers in steps:
        fill(store, rows, row)
        added += [
            (at * 1000, f"c{column}", at * 10_000 + column)
            for at in range(row, row + rows)
            for column in range(columns)
        ]
        row += rows
        peer = Peer(*answers)
        with suppress(ConnectionLost, ServerFailed):
            sending(store, peer)
        delivered += peer.cells
        assert len(delivered) == len(set(delivered))
        kept = [
            (one.at, f"c{column}", one.values[column])
            for number, one in store.waiting().items()
            for column in range(store.arrived_columns(number), columns)
        ]
        assert sorted(delivered + kept) == sorted(added)
    peer = Peer()
    assert sending(store, peer) is None
    assert sorted(delivered + peer.cells) == sorted(added)
    assert store.rows() == []
