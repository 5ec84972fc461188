"""A mutation fuzzer over every reader: ``python -m tests.fuzz RUN --seconds 600``.

Each case is an intact file of the reader's kind, or of another one's, with a few random changes
(:mod:`tests.mutations`). A case that is neither read nor refused in one line, or takes too long, is
kept in ``fuzz_found/`` with its reader. A segmentation fault ends the process: the last case is
then in ``fuzz_found/lastSEED``.
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
from dataclasses import dataclass
from pathlib import Path

from tests.data.annotations.test_bank import LABELLED
from tests.mutations import mutated
from tests.readers import READERS, try_to_read
from tests.test_readers import whole_files

_SLOWEST_S = 5
_MEMORY = 6 << 30


_LARGEST = 20_000  # bytes of a sample: what is larger is slower, and holds nothing else


@dataclass(frozen=True)
class Sample:
    """A whole file, and the reader that it is for.

    Args:
        name: of the reader.
        content: of the file.
        ending: of its name, by which some formats are known.
    """

    name: str
    content: bytes
    ending: str = ""


def corpus(run: Path, folder: Path) -> list[Sample]:
    """Small whole files of every kind."""
    found = [Sample(name, path.read_bytes()) for name, path in whole_files(run, folder)]
    for files in LABELLED.values():
        name, content = next(iter(files.items()))
        data = content.encode() if isinstance(content, str) else content
        if len(data) <= _LARGEST:
            found.append(Sample("annotations", data, Path(name).suffix))
    found += [
        Sample("scores", b"onset,offset,a,b\n0,0.5,0.1,0.9\n0.5,1,0.2,0.8\n"),
        Sample("durations", b"filename,duration\na.wav,3.5\nb.wav,4\n"),
        Sample("transitions", b"after,bell,siren\nbell,1,2\nsiren,3,4\n"),
        Sample("transitions", b'{"bell": {"siren": 3}, "siren": {"bell": 1}}'),
        Sample("splits of a bank", b"clip,split\na.wav,train\nb.wav,test\n"),
        Sample("pairs", b"source\ttarget\nabc\tcba\n"),
        Sample("lines", "a dog barks\nein Käfer läuft\n".encode()),
        Sample("names of a published set", b"a.wav\tdog\nb.wav\tcat\n"),
    ]
    return found


def main() -> int:
    """Run cases until the time or their number is up; return 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run, whose files are changed")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--cases", type=int, default=sys.maxsize, help="how many at most")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGALRM, _too_slow)
    draws, found, counts = random.Random(arguments.seed), Path("fuzz_found"), Counter[str]()
    found.mkdir(exist_ok=True)
    n_failed, until = 0, time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory() as folder:
        samples = corpus(arguments.run, Path(folder))
        while time.monotonic() < until and counts.total() < arguments.cases:
            sample = draws.choice(samples)
            name = sample.name if draws.random() < 0.9 else draws.choice(list(READERS))
            content = mutated(sample.content, draws)
            place = found / f"last{arguments.seed}{sample.ending}"
            place.write_bytes(content)
            if problem := _problem(name, place):
                n_failed += 1
                kept = found / f"{arguments.seed}-{n_failed:04}{sample.ending}"
                place.rename(kept)
                sys.stdout.write(f"{kept}: {name}: {problem}\n"[:400])
                sys.stdout.flush()
            else:
                place.unlink()
            counts[name] += 1
    sys.stdout.write(f"{counts.total():,} cases, seed {arguments.seed}: {n_failed} failed\n")
    sys.stdout.writelines(f"  {n:8,} {name}\n" for name, n in counts.most_common())
    return int(n_failed > 0)


def _problem(name: str, place: Path) -> str:
    """Read a file; return why it is neither read nor refused well, "" if it is."""
    signal.setitimer(signal.ITIMER_REAL, _SLOWEST_S)
    try:
        try_to_read(name, place)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


def _too_slow(number: int, frame: object) -> None:
    raise RuntimeError(f"more than {_SLOWEST_S} s")


if __name__ == "__main__":
    sys.exit(main())
