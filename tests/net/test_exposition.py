"""Metrics as Prometheus reads them."""

from __future__ import annotations

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from txbridge.net.exposition import Family, Histogram, render_metrics

SAMPLE = re.compile(r'([a-z_]+)(?:\{([a-z]+)="((?:[^"\\\n]|\\["\\n])*)"\})? (\S+)')


def test_a_family_has_its_help_its_type_and_its_samples():
    family = Family("x_total", "counter", "How\nmany \\ so", [({"route": "a", "kind": "b"}, 3.0), ({}, 0.5)])
    assert render_metrics([family]) == (
        "# HELP x_total How\\nmany \\\\ so\n"
        "# TYPE x_total counter\n"
        'x_total{route="a",kind="b"} 3\n'
        "x_total 0.5\n"
    )


def test_a_family_without_samples_is_left_out():
    assert render_metrics([Family("x", "gauge", "X.", [])]) == ""


def test_a_histogram_has_growing_buckets_a_sum_and_a_count():
    took = Histogram([0.5, 1])
    for seconds in (0.25, 0.5, 0.75, 3):
        took.observe(seconds)
    family = Family("took_seconds", "histogram", "How long.", took.samples({"kind": "read"}))
    assert render_metrics([family]).splitlines()[1:] == [
        "# TYPE took_seconds histogram",
        'took_seconds_bucket{kind="read",le="0.5"} 2',
        'took_seconds_bucket{kind="read",le="1"} 3',
        'took_seconds_bucket{kind="read",le="+Inf"} 4',
        'took_seconds_sum{kind="read"} 4.5',
        'took_seconds_count{kind="read"} 4',
    ]


def test_numbers_that_are_none_have_their_words():
    samples = [({}, value) for value in (math.nan, math.inf, -math.inf, 1e300, 2.0**60)]
    values = [
        line.split()[-1] for line in render_metrics([Family("x", "gauge", "X.", samples)]).splitlines()[2:]
    ]
    assert values == ["NaN", "+Inf", "-Inf", "1e+300", "1.152921504606847e+18"]


@given(st.text())
def test_whatever_a_label_is_it_comes_back(text):
    line = render_metrics([Family("x", "gauge", "X.", [({"a": text}, 1)])]).split("\n", 2)[2]
    match = SAMPLE.fullmatch(line.removesuffix("\n"))
    assert match is not None
    back = re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], match[3])
    assert back == text
