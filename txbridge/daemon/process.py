"""What a process takes, as every Prometheus client tells it."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from attrs import frozen

from txbridge.net.exposition import Family

__all__ = ["ProcessReport", "process_families", "read_process"]


@frozen
class ProcessReport:
    """What the process takes.

    Attributes:
        resident_bytes: Of memory.
        cpu_seconds: Of processor time, since its start.
        open_files: How many.
    """

    resident_bytes: int
    cpu_seconds: float
    open_files: int


def read_process() -> ProcessReport:
    """What this process takes now."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return ProcessReport(
        pages * resource.getpagesize(), usage.ru_utime + usage.ru_stime, len(os.listdir("/proc/self/fd"))
    )


def process_families(process: ProcessReport, started_at: float) -> list[Family]:
    """The same as metrics.

    Args:
        process: What it takes.
        started_at: When it began, in seconds since 1970.
    """
    return [
        Family(
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory size in bytes.",
            [({}, process.resident_bytes)],
        ),
        Family(
            "process_cpu_seconds_total",
            "counter",
            "Total user and system CPU time spent in seconds.",
            [({}, process.cpu_seconds)],
        ),
        Family("process_open_fds", "gauge", "Number of open file descriptors.", [({}, process.open_files)]),
        Family(
            "process_start_time_seconds",
            "gauge",
            "Start time of the process since unix epoch in seconds.",
            [({}, started_at)],
        ),
    ]
