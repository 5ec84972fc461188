"""Overrides as text: the names of jobs by them, and what those that were read may set."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Container, Iterable, Sequence
from functools import cache

from sed_cli.config.identity import keys_with
from sed_cli.config.settings import Role

_LONGEST = 120  # bytes; file systems take 255 of a name, and a path has to hold more than one
_UNSAFE = re.compile(r"[^\w.,=+-]+")  # spaces, slashes, quotes, and what shells and Windows mind
_WORD = re.compile(r"(?P<key>[\w/]+(\.\w+)*)=(?P<value>.*)", re.DOTALL)
_NOT_TAKEN = (
    *("hydra", "output_dir", "resume", "resume_sweep", "plugins"),
    *("data.cache_limit_gb", "memory_limit_gb"),
)
_OPTION = re.compile(r"[\w.+-]*")  # of a group, not a path to some other file


def name_job(overrides: Sequence[str], keys: Container[str], taken: Iterable[str]) -> str:
    """Name a job by its overrides, such as ``sampler.gamma=0.08,seed=1``.

    Args:
        overrides: all of the job, ``KEY=VALUE``.
        keys: those that vary in the sweep. Without any, all overrides name the job.
        taken: names that are given already; file systems may not tell upper from lower case.

    Returns:
        A name that is in no place taken: what was too long ends in a hash, what was there already
        in a number.
    """
    named = [o for o in overrides if _key(o) in keys]
    named = named or [o for o in overrides if _key(o) not in _no_names()]
    name = _safe(",".join(_short(override) for override in named)) or "defaults"
    lower = {other.casefold() for other in taken}
    candidate, count = name, 1
    while candidate.casefold() in lower:
        count += 1
        candidate = f"{name}-{count}"
    return candidate


@cache
def _no_names() -> frozenset[str]:
    """Keys that say where a run is, and nothing of what it is."""
    return keys_with(Role.PLACE) & keys_with(Role.FREE)


def _key(override: str) -> str:
    return override.split("=", 1)[0].lstrip("+~")


def _short(override: str) -> str:
    """Write an override without quotes and brackets, and the numbers of a search shorter."""
    key, equals, value = override.partition("=")
    value = re.sub(r"['\"\[\](){}]|(?<=,) ", "", value)
    if len(value) > 10 and re.fullmatch(r"[-+]?\d*\.\d*(e[-+]?\d+)?", value, re.IGNORECASE):
        value = f"{float(value):.6g}"
    return f"{key.lstrip('+~')}{equals}{value}"


def _safe(text: str) -> str:
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", text)).strip("_. ")
    encoded = name.encode()
    if len(encoded) <= _LONGEST:
        return name
    mark = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return f"{encoded[:_LONGEST].decode(errors='ignore')}-{mark}"


def is_plain(word: str) -> bool:
    """Tell whether an override that was read sets a value of a run, and nothing beside.

    Neither Hydra's own settings nor places to write to, nothing added or taken away, nothing that
    is looked up elsewhere.
    """
    found = _WORD.fullmatch(word)
    if found is None or any(part in word for part in ("${", "_target_", "cache_dir")):
        return False
    is_option = "." not in found["key"]
    if is_option and (".." in found["value"] or not _OPTION.fullmatch(found["value"])):
        return False
    return not any(re.match(rf"{re.escape(key)}($|[./])", found["key"]) for key in _NOT_TAKEN)
