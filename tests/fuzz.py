"""A mutation fuzzer over every reader: ``python -m tests.fuzz RUN --seconds 600``.

Each case is an intact file of the reader's kind, or of another one's, with a few random changes
(:mod:`tests.mutations`). A case that is neither read nor refused in one line, or takes too long, is
kept in ``fuzz_found/`` with its reader. A segmentation fault ends the process: the last case is
then in ``fuzz_found/last``.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from sed_cli.data.annotations import FORMATS, Event, dump_annotations
from tests.mutations import mutated
from tests.readers import READERS, try_to_read
from tests.test_readers import whole_files

_SLOWEST_S = 5
_MEMORY = 6 << 30


def corpus(run: Path, folder: Path) -> list[tuple[str, bytes]]:
    """Small intact files, each with its reader."""
    found = [(name, path.read_bytes()) for name, path in whole_files(run, folder)]
    events = {"a.wav": [Event(0.0, 1.0, "dog"), Event(1.5, 2.25, "cat")]}
    for name in FORMATS:
        text = dump_annotations(events, name, durations_s={"a.wav": 3.0})
        found += [(f"annotations as {name}", text.encode()), ("annotations", text.encode())]
    found += [
        ("scores", b"onset,offset,a,b\n0,0.5,0.1,0.9\n0.5,1,0.2,0.8\n"),
        ("durations", b"filename,duration\na.wav,3.5\nb.wav,4\n"),
        ("transitions", b"after,bell,siren\nbell,1,2\nsiren,3,4\n"),
        ("transitions", b'{"bell": {"siren": 3}, "siren": {"bell": 1}}'),
        ("splits of a bank", b"clip,split\na.wav,train\nb.wav,test\n"),
        ("pairs", b"source\ttarget\nabc\tcba\n"),
        ("lines", "a dog barks\nein Käfer läuft\n".encode()),
        ("names of a published set", b"a.wav\tdog\nb.wav\tcat\n"),
    ]
    return found


def main() -> int:
    """Run cases until the time is up; return 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run, whose files are changed")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGALRM, _too_slow)
    draws, found, counts = random.Random(arguments.seed), Path("fuzz_found"), Counter[str]()
    found.mkdir(exist_ok=True)
    n_failed, started = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        wholes, place = corpus(arguments.run, Path(folder)), found / "last"
        while time.monotonic() - started < arguments.seconds:
            name, whole = draws.choice(wholes)
            name = name if draws.random() < 0.9 else draws.choice(list(READERS))
            content = mutated(whole, draws)
            place.write_bytes(content)
            signal.setitimer(signal.ITIMER_REAL, _SLOWEST_S)
            try:
                try_to_read(name, place)
            except Exception as error:
                n_failed += 1
                kept = found / f"{n_failed:04}"
                kept.write_bytes(content)
                sys.stdout.write(f"{kept}: {name}: {type(error).__name__}: {error}\n"[:400])
                sys.stdout.flush()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            counts[name] += 1
    total = sum(counts.values())
    sys.stdout.write(f"{total:,} cases, seed {arguments.seed}: {n_failed} failed\n")
    sys.stdout.writelines(f"  {n:8,} {name}\n" for name, n in counts.most_common())
    return int(n_failed > 0)


def _too_slow(number: int, frame: object) -> None:
    raise RuntimeError(f"more than {_SLOWEST_S} s")


if __name__ == "__main__":
    sys.exit(main())
