"""Overrides as text: names of jobs, and settings that recorded overrides may set."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Container, Iterable, Sequence
from functools import cache

from sed_cli.config.identity import keys_with
from sed_cli.config.settings import Role

_LONGEST = 120  # bytes; file systems allow 255 in a name, and a path holds more than one
# spaces, slashes, quotes, and special characters of shells and Windows
_UNSAFE = re.compile(r"[^\w.,=+-]+")
_WORD = re.compile(r"(?P<key>[\w/]+(\.\w+)*)=(?P<value>.*)", re.DOTALL)
_NOT_TAKEN = (
    *("hydra", "output_dir", "resume", "resume_sweep", "plugins"),
    *("data.cache_limit_gb", "memory_limit_gb"),
)
_OPTION = re.compile(r"[\w.+-]*")  # of a group, not a path to another file


def name_job(overrides: Sequence[str], keys: Container[str], taken: Iterable[str]) -> str:
    """Name a job by its overrides, such as ``sampler.gamma=0.08,seed=1``.

    Args:
        overrides: all overrides of the job, ``KEY=VALUE``.
        keys: keys that vary in the sweep. If empty, all overrides name the job.
        taken: names in use; file systems may ignore case.

    Returns:
        An unused name: a name that is too long ends in a hash, a duplicate in a number.
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
    """Keys of the location of a run, not of its identity."""
    return keys_with(Role.PLACE) & keys_with(Role.FREE)


def _key(override: str) -> str:
    return override.split("=", 1)[0].lstrip("+~")


def _short(override: str) -> str:
    """Write an override without quotes and brackets, with shortened numbers of a search."""
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
    """Whether a recorded override only sets a value of a run.

    It may not set Hydra's own settings or output paths, add or delete keys, or refer to values
    elsewhere.
    """
    found = _WORD.fullmatch(word)
    if found is None or any(part in word for part in ("${", "_target_", "cache_dir")):
        return False
    is_option = "." not in found["key"]
    if is_option and (".." in found["value"] or not _OPTION.fullmatch(found["value"])):
        return False
    return not any(re.match(rf"{re.escape(key)}($|[./])", found["key"]) for key in _NOT_TAKEN)
