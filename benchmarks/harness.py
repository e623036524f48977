"""How everything here is measured: in turns, beside its peer, as a ratio.

A rate says little on a machine that others use too, and nothing on another machine.  So contenders
take turns (A B A B …), each round gives one ratio to the round's first contender, and what is
reported is the median of the ratios with the least and the greatest.  CPU seconds per unit are
steadier than rates, and say more where a disk or the other end of a connection sets the pace.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from attrs import asdict, define, field, frozen
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

__all__ = [
    "FULL",
    "QUICK",
    "TINY",
    "Child",
    "Contender",
    "Group",
    "Result",
    "Sample",
    "Size",
    "child",
    "drawn_on",
    "repeated",
    "show",
]

ROOT = Path(__file__).parent.parent
ANSWER_SECONDS = 60.0  # a child that is silent for longer is broken

Tick = Callable[[str], None]
"""Told what is measured next, for the progress bar."""


@frozen
class Size:
    """How much to measure.

    Attributes:
        rounds: Turns of each contender.
        seconds: About how long one turn lasts.
        connections: How many HTTP connections at once, one comparison each.
        subscribers: How many WebSocket subscribers, one comparison each.
        points: Datapoints of one datastream of the codecs' document, and of one write of history.
        feeds: Of ten datastreams each, in the stores of the scale.
    """

    rounds: int
    seconds: float
    connections: tuple[int, ...]
    subscribers: tuple[int, ...]
    points: int
    feeds: int


FULL = Size(
    rounds=5, seconds=1.0, connections=(1, 16, 256), subscribers=(1, 100, 1000), points=500, feeds=10_000
)
QUICK = Size(
    rounds=2, seconds=0.15, connections=(1, 16, 256), subscribers=(1, 100, 1000), points=500, feeds=500
)
TINY = Size(rounds=1, seconds=0.01, connections=(2,), subscribers=(1, 3), points=5, feeds=20)


@frozen
class Sample:
    """One turn.

    Attributes:
        units: What was done, such as requests.
        seconds: How long it took.
        cpu: CPU seconds of the contender alone.
        more: Other figures of this turn under their headings, such as the CPU of the other end.
    """

    units: int
    seconds: float
    cpu: float
    more: Mapping[str, float] = field(factory=dict)


@frozen
class Contender:
    """One of those that are compared.

    Attributes:
        name: As it is shown.
        run: Takes one turn.
    """

    name: str
    run: Callable[[], Sample]


@frozen
class Result:
    """What a contender did, beside the group's first.

    Attributes:
        name: The contender.
        rate: Units per second, median.
        cpu: CPU microseconds per unit, median.
        ratio: Median of the rounds' ratios of its rate to the first contender's.
        low: The least of these ratios.
        high: The greatest.
        more: Medians of the other figures.
    """

    name: str
    rate: float
    cpu: float
    ratio: float
    low: float
    high: float
    more: Mapping[str, float] = field(factory=dict)


@define
class Group:
    """One comparison.

    Attributes:
        title: What is compared.
        unit: What is counted.
        results: One for each contender; the first is the one the ratios are to.
    """

    title: str
    unit: str
    results: list[Result] = field(factory=list)

    @classmethod
    def measure(
        cls, title: str, unit: str, contenders: Sequence[Contender], rounds: int, tick: Tick
    ) -> Group:
        """Let contenders take turns.

        The order is turned about in every second round, so that none always runs first.  A turn
        of each before the first round is not counted: it warms caches up.
        """
        for contender in contenders:
            tick(f"{title}: {contender.name}")
            contender.run()
        turns: list[list[Sample]] = [[] for _ in contenders]
        for number in range(rounds):
            order = list(enumerate(contenders))
            for index, contender in order if number % 2 == 0 else reversed(order):
                tick(f"{title}: {contender.name}")
                turns[index].append(contender.run())
        rates = [[turn.units / turn.seconds for turn in mine] for mine in turns]
        group = cls(title, unit)
        for contender, mine, samples in zip(contenders, rates, turns, strict=True):
            ratios = [rate / base for rate, base in zip(mine, rates[0], strict=True)]
            cpu = median(1e6 * turn.cpu / turn.units for turn in samples)
            more = {name: median(turn.more[name] for turn in samples) for name in samples[0].more}
            group.results.append(
                Result(contender.name, median(mine), cpu, median(ratios), min(ratios), max(ratios), more)
            )
        return group


def repeated(work: Callable[[], int], seconds: float) -> Callable[[], Sample]:
    """A turn that does the same work again and again in this process.

    Args:
        work: Gives how many units it did.
        seconds: When to stop.
    """

    def run() -> Sample:
        units = 0
        cpu, start = time.process_time(), time.perf_counter()
        while True:
            units += work()
            now = time.perf_counter()
            if now - start >= seconds:
                return Sample(units, now - start, time.process_time() - cpu)

    return run


class Child:
    """A contender in a process of its own, which reads lines and answers each with a line of JSON."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._seen = psutil.Process(process.pid)

    def ask(self, line: str = "") -> Any:
        """Send a line unless it is empty, and wait for the answer."""
        if line:
            self.tell(line)
        return self.answer()

    def tell(self, line: str) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait for a line of JSON.

        Raises:
            RuntimeError: The child ended instead; it has said why on stderr.
        """
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}")
        return json.loads(answer)

    def cpu(self) -> float:
        """The CPU seconds it has used, in all its threads."""
        times = self._seen.cpu_times()
        return times.user + times.system


@contextmanager
def child(module: str, *arguments: str, python: str = sys.executable) -> Iterator[Child]:
    """Start a module as a child; it ends when its standard input does.

    Args:
        module: Its name.
        arguments: Its command line.
        python: What runs it; a peer may need an environment of its own.
    """
    process = subprocess.Popen(
        [python, "-m", module, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    try:
        yield Child(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@contextmanager
def drawn_on(console: Console, total: int) -> Iterator[Tick]:
    """A progress bar with this many steps."""
    with Progress(
        BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"),
        console=console, transient=True,
    ) as progress:  # fmt: skip
        task = progress.add_task("", total=total)
        yield lambda what: progress.update(task, advance=1, description=what)


def show(groups: Sequence[Group], console: Console, as_json: bool) -> None:
    """Print tables of ratios, or one JSON document."""
    if as_json:
        console.file.write(json.dumps([asdict(group) for group in groups], indent=1) + "\n")
        return
    for group in groups:
        table = Table(title=group.title, title_justify="left", box=SIMPLE)
        table.add_column("")
        for heading in ("ratio", "min..max", f"{group.unit}/s", "CPU µs each", *group.results[0].more):
            table.add_column(heading, justify="right", no_wrap=True)
        for result in group.results:
            table.add_row(
                result.name,
                f"{result.ratio:.2f}",
                f"{result.low:.2f}..{result.high:.2f}",
                f"{result.rate:,.0f}",
                f"{result.cpu:,.2f}",
                *(f"{figure:,.2f}" for figure in result.more.values()),
            )
        console.print(table)
