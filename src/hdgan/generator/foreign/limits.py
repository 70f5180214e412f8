"""How much one foreign file may ask of the reader, and how the reader says no.

The numbers are far above what published checkpoints need (1024 px with both networks: 60,000 operations) and low enough that
a file made to exhaust memory or time is refused within a second or so.
"""

from __future__ import annotations

MAX_OPERATIONS = 300_000
"""Opcodes in one file, nested streams included."""
MAX_MEMO = 200_000
"""Remembered objects in one stream."""
MAX_STACK = 20_000
MAX_MARKS = 200
MAX_NAME = 256
"""Bytes of a module's or a class's name."""
MAX_INTEGER = 16
"""Bytes of a whole number."""
MAX_KEY = 2**20
"""Whole numbers that are keys of a dictionary (numbers of an optimiser's parameters); larger ones could be made to collide."""
MAX_DEPTH = 100
"""Levels of nesting."""
MAX_DIMENSIONS = 6
MAX_EXTENT = 2**31
MAX_ENTRIES = 20_000
"""Files in a zip archive."""
MAX_PARTS = 5_000
"""Modules and weights of one network."""
_SPARE_BYTES = 64 * 2**20


class Refused(Exception):
    """The file is not read any further; the message says what was found, and where in the stream if it is known."""

    def __init__(self, what: str, *, at: int | None = None) -> None:
        self.what = what
        self.at = at
        super().__init__(what if at is None else f"{what} (at byte {at})")


class Budget:
    """What is left of the limits that hold for a whole file of `num_bytes`."""

    def __init__(self, num_bytes: int) -> None:
        self.operations = MAX_OPERATIONS
        self.bytes = 4 * num_bytes + _SPARE_BYTES

    def spend_operation(self) -> None:
        """One opcode more.

        Raises:
            Refused: there were too many.
        """
        self.operations -= 1
        if self.operations < 0:
            raise Refused(f"takes more than {MAX_OPERATIONS} operations to read")

    def spend_bytes(self, num: int) -> None:
        """`num` bytes of memory more than the file itself.

        Raises:
            Refused: the file asks for several times its own size.
        """
        self.bytes -= num
        if self.bytes < 0:
            raise Refused("would fill several times its own size in memory")


def shown(text: str) -> str:
    """`text` from a file as it may be printed: ASCII, on one line, not long."""
    plain = ascii(text)[1:-1]
    return plain if len(plain) <= 120 else f"{plain[:117]}..."
