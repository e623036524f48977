"""Read this machine's figures through psutil, and turn two readings into values.

Most figures are gauges: a reading is a value.  The others are totals since the machine was
started, of bytes or of processor time, and only the difference of two readings says something.
A total that went down (an interface was removed, a counter began again) gives no value rather
than an invented one.

The names of the streams are valid Cosm datastream ids:

======================================================  =======================================
``cpu.percent``, ``cpu.0.percent``, …                   busy share of all processors, of each
``load.1``, ``load.5``, ``load.15``                     load averages over that many minutes
``memory.used``, ``memory.available``                   bytes
``memory.percent``                                      share in use
``swap.used``, ``swap.percent``                         bytes, share
``disk.used``, ``disk.free``, ``disk.percent``          of one file system: bytes, share
``disk.read_rate``, ``disk.write_rate``                 bytes per second, all disks
``network.receive_rate``, ``network.transmit_rate``     bytes per second, all interfaces
``temperature.<chip>.<sensor>``                         °C, if there are sensors
``uptime``                                              seconds
``process.count``                                       processes
======================================================  =======================================
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from attrs import field, frozen

from txbridge.errors import ConfigError
from txbridge.model.samples import StreamInfo, ValueType

__all__ = ["Machine", "Snapshot", "describe_stream", "measure", "this_machine"]

MAX_NAME = 255  # of a Cosm datastream id
INSTALL = "reading this machine needs psutil: pip install 'txbridge[host]'"


@frozen
class Snapshot:
    """What the machine said at one instant.

    Attributes:
        at_ns: Nanoseconds since 1970.
        seconds: The monotonic clock at that moment; differences of it divide the totals.
        gauges: Stream -> value.
        totals: Stream of a rate -> bytes so far.
        cpu: Stream of a share -> seconds busy and seconds altogether so far.
    """

    at_ns: int
    seconds: float
    gauges: Mapping[str, float] = field(factory=dict)
    totals: Mapping[str, int] = field(factory=dict)
    cpu: Mapping[str, tuple[float, float]] = field(factory=dict)


class Machine(Protocol):
    """Something that can be read."""

    def __call__(self) -> Snapshot:
        """Read it; this may block, so it is called in a thread."""


def measure(previous: Snapshot | None, current: Snapshot) -> dict[str, float]:
    """The values of one reading.

    Args:
        previous: The reading before it, if that was its neighbour; without one there are no rates
            and no shares of processor time.
        current: The reading.

    Returns:
        Stream -> an int or a float.
    """
    values = dict(current.gauges)
    if previous is None:
        return values
    elapsed = current.seconds - previous.seconds
    for stream, total in current.totals.items():
        before = previous.totals.get(stream)
        if before is not None and total >= before and elapsed > 0:
            values[stream] = (total - before) / elapsed
    for stream, (busy, overall) in current.cpu.items():
        busy_before, overall_before = previous.cpu.get(stream, (busy, overall))
        if overall > overall_before:
            share = 100.0 * (busy - busy_before) / (overall - overall_before)
            # The kernel's counters of one processor are not read at one instant.
            values[stream] = min(100.0, max(0.0, share))
    return values


def describe_stream(stream: str, value: float) -> StreamInfo:
    """What a stream is, given one of its values."""
    kind = ValueType.INTEGER if isinstance(value, int) else ValueType.FLOAT
    group, _, figure = stream.partition(".")
    symbol: str | None = None
    label: str | None = None
    unit_type: str | None = None
    if figure.endswith("percent"):
        symbol, label = "%", "percent"
    elif figure.endswith("_rate"):
        symbol, label = "B/s", "byte per second"
    elif group in ("memory", "swap", "disk"):
        symbol, label = "B", "byte"
    elif group == "temperature":
        symbol, label, unit_type = "°C", "Celsius", "derivedSI"
    elif group == "uptime":
        symbol, label, unit_type = "s", "second", "basicSI"
    return StreamInfo(
        stream, unit_symbol=symbol, unit_label=label, unit_type=unit_type, value_type=kind, tags=("host",)
    )


def this_machine(disk: str = "/", now_ns: Callable[[], int] = time.time_ns) -> Machine:
    """A function that reads the machine this program runs on.

    Args:
        disk: A path on the file system whose usage is read.
        now_ns: Gives nanoseconds since 1970.

    Raises:
        ConfigError: psutil is not installed.
    """
    try:
        import psutil
    except ImportError as error:
        raise ConfigError([INSTALL]) from error

    def read() -> Snapshot:
        memory, swap, usage = psutil.virtual_memory(), psutil.swap_memory(), psutil.disk_usage(disk)
        gauges: dict[str, float] = {
            "memory.used": memory.used,
            "memory.available": memory.available,
            "memory.percent": memory.percent,
            "swap.used": swap.used,
            "swap.percent": float(swap.percent),
            "disk.used": usage.used,
            "disk.free": usage.free,
            "disk.percent": usage.percent,
            "uptime": time.time() - psutil.boot_time(),
            "process.count": len(psutil.pids()),
        }
        gauges.update(zip(("load.1", "load.5", "load.15"), psutil.getloadavg(), strict=True))
        if hasattr(psutil, "sensors_temperatures"):  # on Linux and FreeBSD only
            for chip, sensors in psutil.sensors_temperatures().items():
                for index, sensor in enumerate(sensors):
                    gauges[_temperature_name(chip, sensor.label or str(index), gauges)] = float(
                        sensor.current
                    )
        totals: dict[str, int] = {}
        disks, network = psutil.disk_io_counters(), psutil.net_io_counters()
        if disks is not None:  # a machine without disks has no counters
            totals |= {"disk.read_rate": disks.read_bytes, "disk.write_rate": disks.write_bytes}
        if network is not None:
            totals |= {
                "network.receive_rate": network.bytes_recv,
                "network.transmit_rate": network.bytes_sent,
            }
        cpu = {"cpu.percent": _busy_and_overall(psutil.cpu_times()._asdict())}
        for index, times in enumerate(psutil.cpu_times(percpu=True)):
            cpu[f"cpu.{index}.percent"] = _busy_and_overall(times._asdict())
        return Snapshot(now_ns(), time.monotonic(), gauges, totals, cpu)

    return read


def _busy_and_overall(times: Mapping[str, float]) -> tuple[float, float]:
    # Linux counts the time of guests in `user` and `nice` too.
    overall = sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)
    return overall - times["idle"] - times.get("iowait", 0.0), overall


def _temperature_name(chip: str, sensor: str, taken: Mapping[str, float]) -> str:
    chip, sensor = (
        re.sub(r"[^A-Za-z0-9_-]+", "_", part).strip("_").lower() or "sensor" for part in (chip, sensor)
    )
    name = f"temperature.{chip}.{sensor}"[: MAX_NAME - 4]
    count = 2
    unique = name
    while unique in taken:
        unique = f"{name}_{count}"
        count += 1
    return unique
