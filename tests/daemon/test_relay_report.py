"""What a relay tells about itself: ready or why not, and metrics whose first is the one to watch."""

from __future__ import annotations

from attrs import evolve

from txbridge.daemon.process import ProcessReport
from txbridge.daemon.relay_report import Lost, RelayReport, RouteReport
from txbridge.net.exposition import render_metrics
from txbridge.relay.roles import Durability, LossKind
from txbridge.relay.status import DestinationStatus, LinkState, RouteStatus

HUB = DestinationStatus(
    name="hub",
    state=LinkState.WORKING,
    state_age=7.0,
    storage=LinkState.WORKING,
    storage_error=None,
    delivered=100,
    rejected=1,
    converted=2,
    clock_moved=0,
    clock_refused=0,
    dropped=3,
    pending_points=5,
    pending_bytes=400,
    oldest_age=12.5,
    stalled=None,
    last_success=1.8e9,
    retries=4,
    last_error=None,
    batch_points=100,
    batch_bytes=1000,
    paced=False,
    held=0.0,
    skew=-0.25,
)

BOILER = RouteStatus(
    name="boiler",
    source=LinkState.WORKING,
    source_age=9.0,
    source_error=None,
    outbox=LinkState.WORKING,
    outbox_error=None,
    outbox_points=5,
    outbox_bytes=4096,
    outbox_max_bytes=8192,
    durability=Durability.DISK,
    received=105,
    last_received=1.8e9,
    source_gaps=0,
    blocked=False,
    destinations=(HUB,),
)

LOSSES = {("hub", LossKind.OVERFLOW): Lost(3, 1), ("", LossKind.SOURCE): Lost(0, 2)}


def report(*statuses, **more):
    """A relay with a route of each status; None is one that does not run."""
    routes = [
        RouteReport("attic", "OutboxError: no disk", None, {})
        if status is None
        else RouteReport(status.name, None, status, LOSSES)
        for status in statuses
    ]
    settings = {
        "version": "1.2",
        "pid": 7,
        "config": "relay.toml",
        "started_at": 1.7e9,
        "uptime": 60.0,
        "reload_problems": (),
        "away": 900.0,
        "process": ProcessReport(1 << 20, 1.5, 12),
    }
    return RelayReport(routes=tuple(routes), **{**settings, **more})


def with_hub(**changes):
    return evolve(BOILER, destinations=(evolve(HUB, **changes),))


def test_a_relay_that_works_is_ready():
    assert report(BOILER).reasons == ()
    assert report(BOILER).to_json()["ready"] is True


def test_an_end_that_is_away_for_a_while_is_no_reason_yet():
    assert report(with_hub(state=LinkState.AWAY, state_age=899.0, last_error="x")).reasons == ()
    assert report(with_hub(state=LinkState.AWAY, state_age=960.0, last_error="x")).reasons == (
        "route boiler: hub is away for 16 min: x",
    )


def test_whatever_a_person_has_to_mend_is_a_reason_at_once():
    assert report(with_hub(state=LinkState.NEEDS_ATTENTION, last_error="401")).reasons == (
        "route boiler: hub needs attention: 401",
    )
    source = evolve(BOILER, source=LinkState.NEEDS_ATTENTION, source_error="404")
    assert report(source).reasons == ("route boiler: the source needs attention: 404",)


def test_a_disk_that_takes_nothing_is_a_reason():
    full = evolve(BOILER, outbox=LinkState.AWAY, outbox_error="full")
    assert report(full).reasons == ("route boiler: the outbox cannot be written: full",)
    letters = with_hub(storage=LinkState.AWAY, storage_error="full")
    assert report(letters).reasons == ("route boiler: what is kept for hub cannot be written: full",)


def test_a_route_that_does_not_run_is_a_reason_with_its_problem():
    assert report(None).reasons == ("route attic does not run: OutboxError: no disk",)


def test_the_summary_is_short():
    assert report(BOILER).summary() == "1 route, 5 points wait"
    assert report(BOILER, None).summary().startswith("2 routes, 5 points wait; route attic")


def test_the_first_metric_is_the_age_of_the_oldest_item_of_each_destination():
    text = render_metrics(report(BOILER, None).metrics())
    assert text.splitlines()[:3] == [
        "# HELP txbridge_oldest_unsent_seconds How long the oldest item that was not delivered has waited.",
        "# TYPE txbridge_oldest_unsent_seconds gauge",
        'txbridge_oldest_unsent_seconds{route="boiler",destination="hub"} 12.5',
    ]


def test_the_metrics_have_everything_once():
    text = render_metrics(report(BOILER, None, reload_problems=("x",)).metrics())
    for line in (
        'txbridge_delivered_points_total{route="boiler",destination="hub"} 100',
        'txbridge_lost_points_total{route="boiler",destination="hub",kind="overflow"} 3',
        'txbridge_lost_intervals_total{route="boiler",destination="",kind="source"} 2',
        'txbridge_clock_skew_seconds{route="boiler",destination="hub"} -0.25',
        'txbridge_link_state{route="boiler",link="destination",destination="hub",state="working"} 1',
        'txbridge_link_state{route="boiler",link="source",state="away"} 0',
        'txbridge_route_running{route="attic"} 0',
        'txbridge_outbox_bytes{route="boiler"} 4096',
        "txbridge_ready 0",
        "txbridge_reload_failed 1",
        'txbridge_info{version="1.2"} 1',
        "process_resident_memory_bytes 1048576",
        "process_cpu_seconds_total 1.5",
    ):
        assert line in text.splitlines()
    samples = [line.rsplit(" ", 1)[0] for line in text.splitlines() if line[0] != "#"]
    assert len(samples) == len(set(samples))


def test_what_is_not_known_is_no_sample():
    text = render_metrics(report(with_hub(skew=None, oldest_age=None)).metrics())
    assert "clock_skew" not in text
    assert 'txbridge_oldest_unsent_seconds{route="boiler",destination="hub"} 0' in text


def test_its_json_names_the_losses():
    (route,) = report(BOILER).to_json()["routes"]
    assert route["losses"][0] == {"destination": "hub", "kind": "overflow", "points": 3, "intervals": 1}
    assert route["status"]["destinations"][0]["oldest_age"] == 12.5
