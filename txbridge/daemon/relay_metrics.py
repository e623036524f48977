"""Metrics in the text format of Prometheus.

Source: Prometheus, "Exposition formats", text version 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isinf, isnan

from attrs import frozen

__all__ = ["CONTENT_TYPE", "Family", "render_metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@frozen
class Family:
    """One metric with all its samples.

    Attributes:
        name: Of the metric; that of a counter ends with ``_total``.
        kind: ``"gauge"`` or ``"counter"``.
        help: What it is, in a sentence.
        samples: Labels and values.
    """

    name: str
    kind: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]


def render_metrics(families: Iterable[Family]) -> str:
    """The text of some families; one without samples is left out."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {_escape(family.help, quotes=False)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for labels, value in family.samples:
            pairs = ",".join(f'{name}="{_escape(text)}"' for name, text in labels.items())
            lines.append(
                f"{family.name}{{{pairs}}} {_number(value)}" if pairs else f"{family.name} {_number(value)}"
            )
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
