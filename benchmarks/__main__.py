"""Run every benchmark: ``python -m benchmarks [--quick] [--output DIR] [--threads N]``."""

from __future__ import annotations

from benchmarks import (
    augmentation,
    distributed,
    export,
    features,
    inference,
    inspection,
    language,
    reading,
    recurrence,
    synthesis,
    training_step,
)
from benchmarks.measure import options

if __name__ == "__main__":
    arguments = options(__doc__ or "")
    recurrence.main(arguments)
    language.main(arguments)
    training_step.main(arguments)
    distributed.main(arguments)
    inference.main(arguments)
    export.main(arguments)
    inspection.main(arguments)
    synthesis.main(arguments)
    features.main(arguments)
    reading.main(arguments)
    augmentation.main(arguments)
