"""The exceptions a user can mend, each one clear line: what, where, what to do next.

The command line prints the message of an `HdganError` and exits with its `exit_code`; anything else is a bug of ours
and keeps its traceback.
"""

from __future__ import annotations

from pathlib import Path


class HdganError(Exception):
    """Something the user can mend."""

    exit_code = 2


class BadInput(HdganError):
    """A file, folder or value from outside does not fit; the message is `where: what; remedy`."""

    def __init__(self, where: str | Path, what: str, remedy: str = "") -> None:
        self.where = str(where)
        self.what = what
        self.remedy = remedy
        super().__init__(f"{where}: {what}" + (f"; {remedy}" if remedy else ""))

    def __reduce__(self) -> tuple[type[BadInput], tuple[str, str, str]]:
        """Its three parts, so that it passes from a worker process to its parent."""
        return (type(self), (self.where, self.what, self.remedy))


class BadConfig(BadInput):
    """A setting is unknown or impossible."""


class BadMask(BadInput):
    """A mask does not fit its image or its class map."""


class BadWeights(BadInput):
    """Weights that other software wrote are damaged, dangerous, incomplete, or of a network that ours cannot be."""


class DamagedArtifact(BadInput):
    """A file that we wrote no longer has the content its manifest states."""


class StaleStage(HdganError):
    """A stage folder was made from other inputs or settings than those asked for now."""


class Busy(HdganError):
    """Another process is working in the same folder."""


class MissingExtra(HdganError):
    """An optional library is not installed."""


class OutOfSpace(HdganError):
    """The disk is full."""


class Diverged(HdganError):
    """Training met a value that is not finite; the last good state is kept."""


class Interrupted(HdganError):
    """A signal asked a long job to stop; the state is saved and the same command resumes it (exit 75, EX_TEMPFAIL)."""

    exit_code = 75


class PartnerFailed(HdganError):
    """One of several processes that train together met an error; the others stop with its exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class LostProcess(Interrupted):
    """One of several processes that train together ended; the others stop, and the same command resumes from the last state."""
