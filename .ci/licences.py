"""Licences of all installed dependencies: a list, and an exit code of 1 for one that does not fit.

sedtf is MIT. What it needs may be under any licence that asks for no more of who installs it than
notices; weak copyleft is named here, package by package, since it is looked at before it is taken.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, distributions

PERMISSIVE = re.compile(
    r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Zlib|HPND|CNRI|Unlicense|0BSD|"
    r"public domain|NumPy License|MIT-CMU|CC0|NCSA|Matplotlib)\b",
    re.IGNORECASE,
)
WEAK = {
    "certifi": "MPL 2.0, files of its own",
    "hypothesis": "MPL 2.0, of tests alone",
    "pathspec": "MPL 2.0, of the build alone",
    "soxr": "LGPL 2.1, its library is linked dynamically",
}


def licence_of(package: Distribution) -> str:
    """What a package says of its licence, in a line."""
    metadata = package.metadata
    classifiers = [
        each.rsplit(" :: ", 1)[-1]
        for each in metadata.get_all("Classifier") or ()
        if each.startswith("License ::")
    ]
    said = metadata.get("License-Expression") or ", ".join(classifiers) or metadata.get("License")
    return " ".join((said or "not stated").split())[:80]


def main() -> int:
    """Print all licences; tell whether each of them fits."""
    unfit = 0
    packages = {each.metadata["Name"]: each for each in distributions() if each.metadata["Name"]}
    for name, package in sorted(packages.items(), key=lambda item: item[0].lower()):
        licence = licence_of(package)
        fits = bool(PERMISSIVE.search(licence)) or name.lower() in WEAK or name == "sedtf"
        unfit += not fits
        mark = "" if fits else "   <-- look at it, then name it in .ci/licences.py"
        sys.stdout.write(f"{name:32} {licence}{mark}\n")
    return int(unfit > 0)


if __name__ == "__main__":
    sys.exit(main())
