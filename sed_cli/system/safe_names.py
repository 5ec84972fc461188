"""Portable file names from any text."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_LONGEST = 80  # bytes
_REFUSED = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]|\s')
_TAKEN = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows


def safe_name(text: str) -> str:
    """Return a file or folder name that is valid on any system.

    Letters of all scripts stay; blanks become ``_``. A text changed beyond that, or cut,
    ends in digits of its hash, so that names stay unique.
    """
    text = text.replace(" ", "_")
    plain = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    name = _REFUSED.sub("_", plain).strip("._") or "_"
    if _TAKEN.fullmatch(name):
        name = f"_{name}"
    if name == text and len(name.encode()) <= _LONGEST:
        return name
    digits = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=3).hexdigest()
    cut = name.encode()[: _LONGEST - len(digits) - 1].decode(errors="ignore")
    return f"{cut}-{digits}"
