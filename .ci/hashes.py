"""The pinned dependencies with the hashes of what this platform installs, as pip reports them."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Print a line a package: ``NAME==VERSION --hash=sha256:...``."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    pinned = Path(__file__).parents[1] / "constraints.txt"
    options = ["--no-deps", "--report", "-", "--requirement", str(pinned)]
    done = subprocess.run([*command, *options], stdout=subprocess.PIPE, check=True)
    python = ".".join(map(str, sys.version_info[:2]))
    sys.stdout.write(
        f"# Of CPython {python} on {platform.system()} {platform.machine()}, made by "
        f"`make hashes`: pip install --require-hashes --no-deps -r .ci/hashes.txt\n"
    )
    for each in json.loads(done.stdout)["install"]:
        package = each["metadata"]
        digest = each["download_info"]["archive_info"]["hashes"]["sha256"]
        sys.stdout.write(f"{package['name']}=={package['version']} --hash=sha256:{digest}\n")


if __name__ == "__main__":
    main()
