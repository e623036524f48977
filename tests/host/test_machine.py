"""Readings become values, and what cannot be known is left out."""

from __future__ import annotations

import re
import sys

import pytest

from txbridge.errors import ConfigError
from txbridge.host.machine import Snapshot, describe_stream, measure, this_machine
from txbridge.model.samples import StreamInfo, ValueType

DATASTREAM_ID = re.compile(r"[A-Za-z0-9_.+-]{1,255}")


def test_gauges_need_no_predecessor_and_rates_do():
    snapshot = Snapshot(1, 1.0, {"load.1": 0.0}, {"disk.read_rate": 5}, {"cpu.percent": (1.0, 2.0)})
    assert measure(None, snapshot) == {"load.1": 0.0}


def test_totals_become_rates_and_shares():
    before = Snapshot(1, 10.0, {}, {"disk.read_rate": 100}, {"cpu.percent": (1.0, 10.0)})
    after = Snapshot(2, 12.0, {}, {"disk.read_rate": 400}, {"cpu.percent": (2.0, 14.0)})
    assert measure(before, after) == {"disk.read_rate": 150.0, "cpu.percent": 25.0}


def test_an_idle_machine_has_the_values_zero():
    before = Snapshot(1, 10.0, {}, {"disk.read_rate": 100}, {"cpu.percent": (1.0, 10.0)})
    after = Snapshot(2, 11.0, {}, {"disk.read_rate": 100}, {"cpu.percent": (1.0, 11.0)})
    assert measure(before, after) == {"disk.read_rate": 0.0, "cpu.percent": 0.0}


@pytest.mark.parametrize(
    "after",
    [
        Snapshot(2, 11.0, {}, {"disk.read_rate": 99}, {"cpu.percent": (1.0, 10.0)}),
        Snapshot(2, 10.0, {}, {"disk.read_rate": 101}, {"cpu.percent": (1.0, 9.0)}),
        Snapshot(2, 11.0, {}, {"network.receive_rate": 101}, {"cpu.0.percent": (1.0, 20.0)}),
    ],
)
def test_a_counter_that_began_again_or_is_new_gives_no_value(after):
    before = Snapshot(1, 10.0, {}, {"disk.read_rate": 100}, {"cpu.percent": (1.0, 10.0)})
    assert measure(before, after) == {}


def test_a_share_stays_between_nothing_and_everything():
    before = Snapshot(1, 10.0, cpu={"a": (5.0, 10.0), "b": (5.0, 10.0)})
    after = Snapshot(2, 11.0, cpu={"a": (4.9, 11.0), "b": (6.1, 11.0)})
    assert measure(before, after) == {"a": 0.0, "b": 100.0}


@pytest.mark.parametrize(
    ("stream", "value", "symbol", "kind"),
    [
        ("cpu.3.percent", 1.0, "%", ValueType.FLOAT),
        ("memory.percent", 1.0, "%", ValueType.FLOAT),
        ("memory.used", 1, "B", ValueType.INTEGER),
        ("disk.read_rate", 1.0, "B/s", ValueType.FLOAT),
        ("temperature.chip.core_0", 1.0, "°C", ValueType.FLOAT),
        ("uptime", 1.0, "s", ValueType.FLOAT),
        ("load.5", 1.0, None, ValueType.FLOAT),
        ("process.count", 1, None, ValueType.INTEGER),
    ],
)
def test_every_stream_is_described(stream, value, symbol, kind):
    info = describe_stream(stream, value)
    assert (info.name, info.unit_symbol, info.value_type, info.tags) == (stream, symbol, kind, ("host",))
    assert (info.unit_label is None) == (symbol is None)
    assert isinstance(info, StreamInfo)


def test_this_machine_can_be_read():
    read = this_machine()
    first, second = read(), read()
    values = measure(first, second)
    assert second.at_ns > first.at_ns > 1_700_000_000_000_000_000
    assert {"load.1", "memory.used", "memory.available", "disk.percent", "process.count"} <= set(values)
    assert "cpu.percent" in first.cpu
    assert "cpu.0.percent" in first.cpu
    assert 0 < values["memory.percent"] <= 100
    assert values["uptime"] > 0
    assert values["process.count"] >= 1
    names = [*first.gauges, *first.totals, *first.cpu]
    assert len(set(names)) == len(names)
    assert all(DATASTREAM_ID.fullmatch(name) for name in names)


def test_sensors_of_any_name_get_a_datastream_id_of_their_own(monkeypatch):
    import psutil
    from psutil._ntuples import shwtemp

    def sensor(label, current):
        return shwtemp(label, current, None, None)

    chips = {
        "core temp/0": [sensor("Package id 0", 40.5), sensor("", 41.0), sensor("package-id 0", 42)],
        "°": [sensor("°", 0.0)],
    }
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: chips, raising=False)
    gauges = this_machine()().gauges
    assert {name: value for name, value in gauges.items() if name.startswith("temperature.")} == {
        "temperature.core_temp_0.package_id_0": 40.5,
        "temperature.core_temp_0.1": 41.0,
        "temperature.core_temp_0.package-id_0": 42.0,
        "temperature.sensor.sensor": 0.0,
    }
    chips["core temp/0"].append(sensor("PACKAGE ID 0", 43.0))
    assert this_machine()().gauges["temperature.core_temp_0.package_id_0_2"] == 43.0


def test_a_machine_without_disks_or_interfaces_has_no_such_rates(monkeypatch):
    import psutil

    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    monkeypatch.setattr(psutil, "net_io_counters", lambda: None)
    assert this_machine()().totals == {}


def test_without_psutil_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(ConfigError, match=r"pip install 'txbridge\[host\]'"):
        this_machine()
