"""Metrics in the text format of Prometheus.

Source: Prometheus, "Exposition formats", text version 0.0.4.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from math import inf, isinf, isnan

from attrs import frozen

__all__ = ["CONTENT_TYPE", "DURATIONS", "Family", "Histogram", "render_metrics"]

DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of a histogram of seconds: those that Prometheus' own clients have, and finer below."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """How often something took how long, or was how large.

    Args:
        bounds: The upper ends of the buckets, ascending; there is one more, for what is beyond.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def samples(self, labels: Mapping[str, str] | None = None) -> list[tuple[str, Mapping[str, str], float]]:
        """What a family of this kind has: the ends of names, labels and values."""
        labels = {} if labels is None else labels
        count = 0
        buckets: list[tuple[str, Mapping[str, str], float]] = []
        for bound, here in zip((*self._bounds, inf), list(self._counts), strict=True):
            count += here
            buckets.append(("_bucket", {**labels, "le": _number(bound)}, count))
        return [*buckets, ("_sum", labels, self._sum), ("_count", labels, count)]


@frozen
class Family:
    """One metric with all its samples.

    Attributes:
        name: Of the metric; that of a counter ends with ``_total``.
        kind: ``"gauge"``, ``"counter"`` or ``"histogram"``.
        help: What it is, in a sentence.
        samples: Labels and values; of a histogram, what `Histogram.samples` gives.
    """

    name: str
    kind: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], float] | tuple[str, Mapping[str, str], float]]


def render_metrics(families: Iterable[Family]) -> str:
    """The text of some families; one without samples is left out."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {_escape(family.help, quotes=False)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for sample in family.samples:
            ending, labels, value = sample if len(sample) == 3 else ("", *sample)
            pairs = ",".join(f'{name}="{_escape(text)}"' for name, text in labels.items())
            name = f"{family.name}{ending}"
            lines.append(f"{name}{{{pairs}}} {_number(value)}" if pairs else f"{name} {_number(value)}")
    return "".join(f"{line}\n" for line in lines)


def _escape(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text


def _number(value: float) -> str:
    if isnan(value):
        return "NaN"
    if isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))
