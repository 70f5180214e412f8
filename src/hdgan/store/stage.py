"""A stage's folder: finished, resumable, or stale, and never half-written without a sign of it.

`manifest.json` is written last and says what the folder was made from; equal runs give equal bytes. What differs from
run to run stands in `provenance.json`. While a stage works, `inprogress.json` holds what it was begun with, so that the
same command resumes and another one is told which field differs.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hdgan.errors import BadInput, Busy, DamagedArtifact, StaleStage
from hdgan.store.atomic import json_text, read_json, remove_leftovers, write_json
from hdgan.store.hashing import hash_bytes, hash_file
from hdgan.store.versions import installed_version

SCHEMA = 1
MANIFEST = "manifest.json"
PROVENANCE = "provenance.json"
INPROGRESS = "inprogress.json"
LOCK = ".lock"
KEEP = "keep"
"""A subfolder that is never cleared: what a person drew."""

REBUILT = "rebuilt"
"""Key in the counts of outputs that were written anew: the hash of the first manifest, and whether the content is still the same."""
_CLEARING = "clearing"
"""Key of the in-progress note while a redo removes what was there: a kill then leaves rests that nobody may resume."""
_BEGUN = ("stage", "config", "seed", "inputs")
_NONE: Mapping[str, Any] = {}
_OWN = {MANIFEST, PROVENANCE, INPROGRESS, LOCK}


@dataclass(frozen=True)
class Manifest:
    """What a finished stage was made from and what it made."""

    schema: int
    stage: str
    config: dict[str, Any]
    seed: int
    inputs: dict[str, str]
    """Name to content hash; of a stage folder, the hash of its manifest."""
    outputs: dict[str, str]
    """Path in the folder to sha256."""
    counts: dict[str, Any]


class StageFolder:
    """A stage folder that was opened for work."""

    def __init__(self, path: Path, begun: dict[str, Any], manifest: Manifest | None) -> None:
        self.path = path
        self.manifest = manifest
        self._begun = begun
        self._since = time.time()

    @property
    def is_current(self) -> bool:
        """Whether the folder is finished, from the same settings and inputs."""
        return self.manifest is not None

    def seal(
        self, *, counts: dict[str, Any], keep_out: tuple[str, ...] = (), also: Mapping[str, Any] = _NONE, hashed: Mapping[str, str] = _NONE
    ) -> Manifest:
        """Finishes the stage: hashes every file that is not in `hashed`, manifest last; `keep_out` is left unlisted, `also` goes into the provenance."""
        outputs = {name: hashed.get(name) or hash_file(self.path / name) for name in _files(self.path) if not _is_below(name, keep_out)}
        manifest = Manifest(schema=SCHEMA, outputs=outputs, counts=counts, **self._begun)
        write_json(self.path / PROVENANCE, _provenance(self._since) | dict(also))
        write_json(self.path / MANIFEST, asdict(manifest))
        (self.path / INPROGRESS).unlink(missing_ok=True)
        self.manifest = manifest
        return manifest

    def reseal(self, *, counts: dict[str, Any], is_same: bool) -> Manifest:
        """Finishes a finished stage again, whose outputs were written anew; where `is_same`, in content as at first, later stages stay current.

        Outputs that are again the bytes of the first time give the manifest of the first time.
        """
        plain = {key: value for key, value in counts.items() if key != REBUILT}
        first = counts[REBUILT]["first"] if REBUILT in counts else hash_file(self.path / MANIFEST)
        manifest = self._manifest(plain)
        if hash_bytes(json_text(asdict(manifest)).encode()) != first:
            manifest = self._manifest(plain | {REBUILT: {"first": first, "is_same": is_same}})
        write_json(self.path / MANIFEST, asdict(manifest))
        self.manifest = manifest
        return manifest

    def _manifest(self, counts: dict[str, Any]) -> Manifest:
        outputs = {name: hash_file(self.path / name) for name in self.manifest.outputs} if self.manifest else {}
        return Manifest(schema=SCHEMA, outputs=outputs, counts=counts, **self._begun)


@contextmanager
def open_stage(
    folder: Path,
    *,
    stage: str,
    config: dict[str, Any],
    seed: int,
    inputs: dict[str, str],
    redo: bool = False,
    goes_on: Mapping[str, str] | None = None,
    mends_from: str | None = None,
    vouched: tuple[str, ...] = (),
    is_afresh: bool = False,
    before_clearing: Callable[[], object] | None = None,
) -> Iterator[StageFolder]:
    """The folder, locked: current, resumed, or begun; one that is current and may only be read is not locked.

    With `redo` a folder that was made from something else, or whose outputs are damaged, is cleared (all but `keep/`) and begun anew;
    one that is current and whole stays, and one that was begun from the same is resumed. `goes_on` names entries that such clearing
    spares where one field alone differs, such as {"config.kimg": "state"}: a longer training goes on from where it was. `mends_from` names an entry
    out of which the rest can be made: where it is there and outputs made from the same are damaged, only those are removed. `vouched` names entries whose
    content says itself what it was made from: they may be there before the stage is begun, and are never cleared. With `is_afresh` a folder that
    is finished and current is cleared, too. `before_clearing` is called when something is about to be cleared: what it raises (a setting that
    cannot be) leaves the folder as it was, where work would find it out when the old result is gone.

    Raises:
        Busy: another process works in it.
        StaleStage: it was made or begun from something else and `redo` is false; names the fields that differ.
        DamagedArtifact: its manifest is damaged and `redo` is false.
    """
    check = before_clearing or (lambda: None)
    begun = {"stage": stage, "config": json.loads(json.dumps(config)), "seed": seed, "inputs": inputs}
    if not is_afresh and _is_for_reading_only(folder, begun) and not (redo and is_damaged(folder)):
        yield StageFolder(folder, begun, read_manifest(folder))
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / LOCK):
        remove_leftovers(folder)
        if _is_half_cleared(folder):
            note = _read_note(folder) or {}
            _clear(folder, begun, spared=note[_CLEARING] if {key: note[key] for key in begun} == begun else None, vouched=vouched)
        elif redo and is_damaged(folder):
            check()
            _mend(folder, begun, mends_from=mends_from, vouched=vouched)
        before = begun_with(folder)
        if before is None:
            _refuse_foreign(folder, vouched)
            write_json(folder / INPROGRESS, begun)
        elif before != begun:
            differing = _differences(before, begun)
            if not redo:
                raise StaleStage(f"{folder}: made from other settings or inputs ({', '.join(differing)}); add --redo to make it again")
            check()
            _clear(folder, begun, spared=(goes_on or {}).get(differing[0]) if len(differing) == 1 else None, vouched=vouched)
        elif is_afresh and (folder / MANIFEST).exists():
            check()
            _clear(folder, begun, vouched=vouched)
        manifest = read_manifest(folder) if (folder / MANIFEST).exists() else None
        if manifest is not None:
            (folder / INPROGRESS).unlink(missing_ok=True)  # of a kill just after the manifest was written
        yield StageFolder(folder, begun, manifest)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished stage.

    Raises:
        BadInput: the stage was not finished, or by a newer version.
        DamagedArtifact: the manifest is not as we write it.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise BadInput(folder, "this stage has not been finished", "run it first")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        schema = data["schema"]
        if schema != SCHEMA:
            raise BadInput(path, f"has schema {schema}, this version reads {SCHEMA}", "use the version that wrote it, or --redo")
        return Manifest(**data)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedArtifact(path, f"is damaged ({error})", "make the stage again with --redo") from error


def manifest_hash(folder: Path) -> str:
    """What a later stage records as the content of this one: the hash of its manifest; of outputs rebuilt with the same content, that of the first."""
    rebuilt = read_manifest(folder).counts.get(REBUILT)
    return str(rebuilt["first"]) if rebuilt and rebuilt["is_same"] else hash_file(folder / MANIFEST)


def verify(folder: Path) -> list[str]:
    """A line for each output that is missing or changed; empty when the folder is as its manifest says."""
    return [f"{folder / name}: {'changed since it was written' if (folder / name).is_file() else 'missing'}" for name in _damaged(folder)]


def is_damaged(folder: Path) -> bool:
    """Whether a finished stage of ours has outputs that are missing or changed, or a manifest that cannot be read.

    A manifest that cannot be read is ours only with our provenance beside it: other programs have a `manifest.json` too.
    """
    if not (folder / MANIFEST).exists():
        return False
    try:
        return bool(verify(folder))
    except BadInput:
        return _has_provenance(folder)


def stage_changes(folder: Path, *, stage: str, config: dict[str, Any], seed: int, inputs: dict[str, str]) -> tuple[str, ...] | None:
    """Fields in which a folder differs from what is asked for: () when current or resumable, None when absent."""
    before = begun_with(folder)
    if before is None:
        return None
    return tuple(_differences(before, {"stage": stage, "config": json.loads(json.dumps(config)), "seed": seed, "inputs": inputs}))


def begun_with(folder: Path) -> dict[str, Any] | None:
    """What the folder was begun with, from its manifest or its in-progress note."""
    if (folder / MANIFEST).exists():
        manifest = asdict(read_manifest(folder))
        return {key: manifest[key] for key in _BEGUN}
    note = _read_note(folder)
    return None if note is None else {key: note[key] for key in _BEGUN}


def _differences(before: Any, now: Any, prefix: str = "") -> list[str]:
    """Dotted names of the fields that differ."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return [] if before == now else [prefix]
    names: list[str] = []
    for key in sorted(before.keys() | now.keys()):
        dotted = f"{prefix}.{key}" if prefix else str(key)
        if (key in before) != (key in now):
            names.append(dotted)
        else:
            names.extend(_differences(before[key], now[key], dotted))
    return names


def _refuse_foreign(folder: Path, vouched: tuple[str, ...]) -> None:
    """Never begins in a folder that holds somebody else's files."""
    foreign = [name for name in _files(folder) if name not in _OWN and not _is_below(name, (KEEP, *vouched))]
    if foreign:
        raise BadInput(folder, f"holds files that are not of this stage ({foreign[0]}, ...)", "choose another folder")


def _clear(folder: Path, begun: dict[str, Any], *, spared: str | None = None, vouched: tuple[str, ...] = ()) -> None:
    """Empties the folder, but for the entries called `spared` or `vouched`, for a new beginning.

    Killed at any point, the next opening goes on with it or finds the old stage whole.
    """
    write_json(folder / INPROGRESS, begun | {_CLEARING: spared})
    (folder / MANIFEST).unlink(missing_ok=True)
    for entry in sorted(folder.iterdir()):
        if entry.name in (LOCK, KEEP, INPROGRESS, spared, *vouched):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    write_json(folder / INPROGRESS, begun)


def _mend(folder: Path, begun: dict[str, Any], *, mends_from: str | None, vouched: tuple[str, ...]) -> None:
    """Clears a damaged stage; where `mends_from` is there and it was made from the same, only damaged outputs, and it is in progress again."""
    is_same = False
    with suppress(BadInput):
        is_same = begun_with(folder) == begun
    if not (is_same and mends_from is not None and (folder / mends_from).exists()):
        _clear(folder, begun, vouched=vouched)
        return
    for name in _damaged(folder):
        (folder / name).unlink(missing_ok=True)
    write_json(folder / INPROGRESS, begun)
    (folder / MANIFEST).unlink()


def _damaged(folder: Path) -> list[str]:
    """Outputs that are missing or changed."""
    outputs = read_manifest(folder).outputs.items()
    return [name for name, expected in outputs if not (folder / name).is_file() or hash_file(folder / name) != expected]


def _is_for_reading_only(folder: Path, begun: dict[str, Any]) -> bool:
    """Whether the folder may not be written to and need not be: finished, from the same. Nobody can work in it, so nothing is locked."""
    return (folder / MANIFEST).exists() and not os.access(folder, os.W_OK) and begun_with(folder) == begun


def _is_half_cleared(folder: Path) -> bool:
    return not (folder / MANIFEST).exists() and _CLEARING in (_read_note(folder) or {})


def _read_note(folder: Path) -> dict[str, Any] | None:
    """The in-progress note, if there is one.

    Raises:
        DamagedArtifact: it cannot be read.
    """
    path = folder / INPROGRESS
    if not path.exists():
        return None
    try:
        note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {key: note[key] for key in (*_BEGUN, _CLEARING) if key in _BEGUN or key in note}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedArtifact(path, f"is damaged ({error!r})", "delete the folder and run the stage again") from error


def _has_provenance(folder: Path) -> bool:
    try:
        return "hdgan" in read_json(folder / PROVENANCE)["versions"]
    except (BadInput, KeyError, TypeError):
        return False


def _files(folder: Path) -> list[str]:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name not in _OWN)


def _is_below(name: str, tops: tuple[str, ...]) -> bool:
    return any(name == top or name.startswith(f"{top}/") for top in tops)


@contextmanager
def sharing(folder: Path) -> Iterator[None]:
    """Within it others may share the folder too, and nobody may open it as a stage.

    Raises:
        Busy: somebody has opened it.
    """
    with _locked(folder / LOCK, is_shared=True):
        yield


@contextmanager
def holding(lock: Path) -> Iterator[None]:
    """Holds the lock file `lock`, made if it is not there.

    Raises:
        Busy: another process holds it.
    """
    with _locked(lock):
        yield


def is_held(lock: Path) -> bool:
    """Whether a process holds the lock file."""
    try:
        with _locked(lock):
            return False
    except Busy:
        return True


@contextmanager
def _locked(lock: Path, *, is_shared: bool = False) -> Iterator[None]:
    """Holds a lock file; the operating system frees it when the process dies."""
    handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        _take_lock(handle, lock.parent if lock.name == LOCK else lock, is_shared=is_shared)
        yield
    finally:
        os.close(handle)


def _take_lock(handle: int, folder: Path, *, is_shared: bool) -> None:
    if sys.platform == "win32":
        return
    import fcntl  # absent on Windows

    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        message = f"{folder}: another process is working there; wait for it or stop it"
        raise Busy(message) from error


def _provenance(since: float) -> dict[str, Any]:
    names = ("hdgan", "numpy", "torch", "monai", "pillow", "openslide-python")
    versions = {name: version for name in names if (version := installed_version(name)) is not None}
    return {
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.time() - since, 3),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "host": platform.node(),
        "device": _device(),
        "versions": versions,
    }


def _device() -> str:
    """The GPU in use, or "cpu"; torch is asked only where the stage has imported it."""
    torch: Any = sys.modules.get("torch")
    is_on_gpu = torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
    return str(torch.cuda.get_device_name()) if is_on_gpu else "cpu"
