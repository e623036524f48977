"""How many bytes the connections of a server may hold together.

A limit for each connection is no limit for a stranger who opens thousands.  So what is not finished, and
what is not read, is counted over all connections too; and when that is too much, whoever holds most gives
way.  The design that was not chosen, refusing who comes last, lets the first ones keep everybody else out.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Budget"]


class Budget:
    """Counts bytes of many holders.

    A holder is named by the function that makes it let go, such as a bound method.

    Args:
        most: Bytes of all together.

    Attributes:
        held: Bytes of all together now.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self._holders: dict[Callable[[], None], int] = {}

    def hold(self, give_way: Callable[[], None], count: int) -> None:
        """A holder has so many bytes now.

        Args:
            give_way: Names the holder.  It is called when all together have too many and this one most; by
                then nothing is counted for it any more.
            count: Its bytes; 0 when it holds nothing more.
        """
        self.held += count - self._holders.get(give_way, 0)
        if count:
            self._holders[give_way] = count
        else:
            self._holders.pop(give_way, None)
        while self.held > self.most:
            greatest = max(self._holders, key=self._holders.__getitem__)
            self.held -= self._holders.pop(greatest)
            greatest()
