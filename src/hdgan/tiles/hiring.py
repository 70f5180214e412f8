"""The crew that the settings ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from hdgan.stopping import stoppable
from hdgan.tiles.code import code_hash
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.crew import INLINE, Crew, num_cores
from hdgan.tiles.pool import ProcessCrew


@contextmanager
def open_crew(config: TilesConfig) -> Iterator[Crew]:
    """The crew that does the jobs of a stage; at the end, and at SIGTERM or SIGUSR1, its processes are ended.

    One worker is a process of its own, too: the reader of a damaged slide may crash, and starting a process costs little beside it.

    Raises:
        MissingExtra: a Dask cluster is asked for and `distributed` is not installed.
        BadConfig: there is no scheduler at the address.
    """
    with stoppable():
        if config.scheduler is not None:
            from hdgan.tiles.cluster import open_cluster  # asks for an extra

            with open_cluster(config.scheduler, num_workers=config.workers or num_cores(), max_silence_s=config.max_silence_s) as cluster:
                yield cluster
        elif config.workers == 0:
            yield INLINE
        else:
            code_hash()  # so that workers that are forked have it, and Pillow's plugins, which both they and this process need
            Image.preinit()
            with ProcessCrew(config.workers or num_cores(), max_silence_s=config.max_silence_s) as crew:
                yield crew
