"""Published data sets as unpacked: their folders, splits and folds.

One module per publisher, with the sources of its layout. ``data.root`` may be the folder in
which the archives were unpacked, or the one that they create.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from sed_cli.config.data import PublishedConfig
from sed_cli.data.listing import Reading
from sed_cli.data.manifest import Manifest
from sed_cli.data.published.desed import list_desed
from sed_cli.data.published.maestro import list_maestro
from sed_cli.data.published.synthetic import list_tut_synthetic, list_urban_sed
from sed_cli.data.published.tut import list_tut

_SETS: dict[str, Callable[[PublishedConfig, Path, Reading], Manifest]] = {
    "tut2016_home": partial(list_tut, scene="home"),
    "tut2016_residential": partial(list_tut, scene="residential_area"),
    "tut2017": partial(list_tut, scene="street"),
    "tut_synthetic_2016": list_tut_synthetic,
    "urban_sed": list_urban_sed,
    "desed_strong": list_desed,
    "maestro_real": list_maestro,
}


def list_published(data: PublishedConfig, folder: Path) -> Manifest:
    """List the recordings of a published data set by split.

    Args:
        data: settings of the data set.
        folder: ``data.root``.

    Raises:
        DataError: if the folder does not contain the data set; it names the expected files.
    """
    reading = Reading(soft_threshold=data.soft_threshold)
    listing = _SETS[data.name](data, folder, reading)
    return replace(listing, notes=reading.notes)
