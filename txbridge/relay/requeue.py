"""Letters that go back: what lies in a route's ``requeue/`` is appended for its destination alone.

Somebody puts a letter there by giving it another name (``txbridge outbox requeue``), while the relay runs
or before it starts.  It is taken away once the outbox has it; a crash between the two sends it twice, which
changes nothing in a history.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txbridge.errors import Closed, DecodeError, EncodeError, OutboxError
from txbridge.relay.dead_letters import Letter, LetterFiles
from txbridge.relay.files import Files
from txbridge.relay.loop import Loop
from txbridge.relay.roles import Outbox
from txbridge.relay.worker import Worker

__all__ = ["Requeue"]

EVERY = 5.0


class Requeue:
    """Gives the letters of a route back to its outbox.

    Args:
        folder: The route's folder.
        outbox: Where they go.
        files: The file system.
        worker: Does what waits for the disk.
        clock: For the time between two looks.
        random: Gives fresh random numbers, 0 <= random < 1.
        every: Seconds between two looks.
    """

    _log = Logger()

    def __init__(
        self,
        folder: Path,
        outbox: Outbox,
        files: Files,
        worker: Worker,
        *,
        clock: IReactorTime,
        random: Callable[[], float],
        every: float = EVERY,
    ) -> None:
        self._letters = LetterFiles(folder, files)
        self._outbox = outbox
        self._worker = worker
        self._every = every
        self._said: set[Path] = set()
        self._given: set[Path] = set()  # what the outbox has and could not be taken away yet
        self._loop = Loop(f"the look at {folder.name}/requeue", self._run, clock=clock, random=random)

    def start(self) -> None:
        """Begin to look."""
        self._loop.start()

    def stop(self) -> Deferred[None]:
        """Stop looking; fires when nothing is going on any more."""
        return self._loop.stop()

    async def _run(self) -> None:
        with suppress(OutboxError):
            # Made by us: a folder that somebody else makes, such as root, we might not be able to read.
            await self._worker.run(self._letters.make_requeue_folder)
        while not self._loop.stopping:
            try:
                await self._look()
            except Closed:
                return
            except OutboxError as error:
                # A letter that waits is in no danger, and what is wrong with the disk others say louder.
                self._log.debug("no letter can go back now: {error}", error=str(error))
            await self._loop.wait(self._every)

    async def _look(self) -> None:
        for path in await self._worker.run(self._letters.requeued):
            if path in self._given:
                await self._take_away(path)
                continue
            letter = await self._worker.run(partial(self._read, path))
            if letter is None:
                continue
            destination = letter.head.destination
            if destination not in self._outbox.destinations:
                self._say_once(path, f"the route has no destination {destination!r}")
                continue
            try:
                await self._outbox.append(letter.batch, [destination])
            except EncodeError as error:
                self._say_once(path, str(error))
                continue
            self._given.add(path)
            await self._take_away(path)
            self._log.info(
                "the dead letter {name} goes back to {destination}", name=path.name, destination=destination
            )

    async def _take_away(self, path: Path) -> None:
        await self._worker.run(partial(self._letters.remove, path))
        self._given.discard(path)

    def _read(self, path: Path) -> Letter | None:
        try:
            return self._letters.letter(path)
        except DecodeError as error:
            self._letters.set_aside(path)
            self._log.error("the dead letter {name} is damaged: {error}", name=path.name, error=str(error))
        except OutboxError as error:
            self._say_once(path, str(error))
        return None

    def _say_once(self, path: Path, why: str) -> None:
        if path not in self._said:
            self._said.add(path)
            self._log.warn("the dead letter {name} cannot go back: {why}", name=path.name, why=why)
