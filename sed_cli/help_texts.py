"""Help of each verb, with worked examples."""

from __future__ import annotations

TRAIN = """Train a detector, keep the best epoch on validation, and evaluate it on the test split.

By default it trains on generated soundscapes. With `task=sequence` it trains a sequence model,
with the same recurrence and the same samplers.

Examples:

- `sedtf train`
- `sedtf train model=crnn sampler.gamma=0.08 trainer.epochs=50`
- `sedtf train -m sampler=scheduled,free_running seed=0,1,2 hydra/launcher=local`
- `sedtf train -m seed=0,1,2 resume_sweep=SWEEP` runs the remaining jobs
- `sedtf train -m seed=0,1,2 --dry-run` estimates the time
- `sedtf train data=annotated data.root=recordings data.sequence_length=500`
- `sedtf train data=annotated data.root=recordings init=RUN trainer.freeze=[blocks]` starts
  from the weights of another run (docs/transfer.md)
- `sedtf train data=annotated data.root=recordings data.train.unlabelled=more` learns from
  recordings without labels too (docs/recipes.md)
- `sedtf train feature=onnx feature.path=MODEL.onnx model=conformer` (docs/front_ends.md)
- `sedtf train data.bank=esc10 data.n_train=600`
- `sedtf train trainer.devices=4 device=cuda trainer.batch_size=64` (docs/distributed.md)
- `sedtf train resume=outputs/train/2026-01-31/12-00-00-000000 trainer.epochs=80`
- `sedtf train task=sequence data=tokens data.path=poems.txt data.unit=char`
- `sedtf train task=sequence data=labels data.annotations=annotations sampler=teacher_forcing`
- `sedtf train experiment=teacher_forcing_demo`

{groups}

Options for sweeps (`-m`):

- `hydra/launcher`: basic, local (in parallel on this machine), slurm, slurm_gpu
  (a cluster), ray
- `hydra/sweeper`: basic, optuna (searches; needs `sedtf[optuna]`)

All keys with their values: `sedtf train --cfg job`
"""

EVAL = """Evaluate a checkpoint on a split: frame, segment and event-based F1 and error rate.

It uses the decoder and thresholds of the checkpoint, unless `evaluation.metric` or
`evaluation.decoder` is set. With `scores=` it decodes the published scores of another system,
each file with a decoder tuned on the other files.

Examples:

- `sedtf eval checkpoint=outputs/train/2026-01-31/12-00-00-000000`
- `sedtf eval checkpoint=RUN/checkpoints/last split=validation`
- `sedtf eval checkpoint=RUN data=annotated data.root=other_recordings`
- `sedtf eval checkpoint=RUN evaluation.metric=event evaluation.min_gap_s=0.1`
- `sedtf eval checkpoint=RUN evaluation.tune=false evaluation.psds=true`
- `sedtf eval checkpoint=RUN evaluation.decoder=boxes evaluation.psds=true`
- `sedtf eval scores=FOLDER annotations=labels.tsv durations=durations.tsv evaluation.decoder=boxes`
- `sedtf eval checkpoint=RUN data=tokens data.path=other.txt data.split=[1,0,0] split=train`

{groups}
"""

EXPORT = """Export a checkpoint as ONNX graphs, checked against PyTorch, with a model card.

`stream.onnx` processes chunks of a stream, `recording.onnx` whole recordings, `waveform.onnx` their
samples; `detect.py` beside them shows how to run them without PyTorch. Needs `sedtf[onnx]`.

Examples:

- `sedtf export checkpoint=outputs/train/2026-01-31/12-00-00-000000`
- `sedtf export checkpoint=RUN/checkpoints/last output_dir=exported waveform=false`
- `sedtf export checkpoint=RUN licence=cc-by-4.0 data_licence=cc-by-3.0`
"""

SIMULATE = """Draw a sampler's curve and its teacher masks, without a model.

Examples:

- `sedtf simulate`
- `sedtf simulate sampler.gamma=0.02 n_batches=100`
- `sedtf simulate experiment=tutorial_curves`
- `sedtf simulate sampler=linear n_batches=1000 animate=false`
- `sedtf simulate sampler=decoding_steps '+samplers.alone={}' '+samplers.jointly={k: 50}'`
- `sedtf simulate '+samplers.slow.gamma=0.02' '+samplers.fast.gamma=0.1'`

{groups}
"""

DATA = """Describe a data set: recordings, events, classes, overlaps, times, syntax, faults.

It prints tables and writes a figure and `data.json` to the run folder; it trains nothing. If it
finds faults, the exit code is 2, as in training (with `data.strict=false` only if a fault cannot
be repaired).

Examples:

- `sedtf data`
- `sedtf data data=annotated data.root=recordings`
- `sedtf data data=annotated data.root=recordings data.strict=false n_faults=1000`
- `sedtf data data=annotated data.root=birdsong sequence_gap_s=0.5`
- `sedtf data -m data.syntax_strength=0,0.5,1`

{groups}
"""


CACHE = """List cached features and generated soundscapes, or delete them.

Entries in use by a running process are never deleted. Training deletes the least recently used
entries when the cache exceeds `data.cache_limit_gb`, or `SEDTF_CACHE_LIMIT_GB`.

Examples:

- `sedtf cache`
- `sedtf cache clear=all older_than_days=30`
- `sedtf cache clear=features`
- `sedtf cache cache_dir=/scratch/cache clear=soundscapes`
"""


PREDICT = """Detect events in your own recordings; with a sequence model, continue lines of text.

Recordings may have any rate, channel count, format and length.

Events of a single recording go to standard output. For a folder, each recording gets a file
`NAME.events.tsv` beside its audio, or in `output_dir=`. A recording that cannot be read is
reported; the others are processed, and the exit code is 1. To resume, repeat the command: it skips
finished recordings.

Examples:

- `sedtf predict checkpoint=RUN input=recording.wav`
- `sedtf predict checkpoint=RUN input=recordings output_dir=found timeline=true`
- `sedtf predict checkpoint=RUN input=survey workers=4 joined=true summary=true clips=true`
- `sedtf predict checkpoint=RUN input=dawn.flac threshold=0.3 format=audacity > dawn.txt`
- `sedtf predict checkpoint=RUN input=stereo.wav channels=each probabilities=true`
- `curl -s https://example.org/a.flac | sedtf predict checkpoint=RUN input=- format=jsonl`

A sequence model (`task=sequence`) reads one prefix, or one source to translate, per line, and
writes a tab-separated table of continuations:

- `echo 'this old fox' | sedtf predict checkpoint=RUN input=-`
- `sedtf predict checkpoint=RUN input=prefixes.txt decoding.method=beam decoding.n_best=3`
- `yes '' | head -20 | sedtf predict checkpoint=RUN input=- decoding.method=sample
  decoding.temperature=0.8`
"""

LISTEN = """Detect events in live audio: raw PCM on standard input, JSON lines on standard output.

It prints one line when an event starts and one when it ends. On start-up it reports the maximum
latency on standard error: about a quarter of a second with the default model and decoder.

Examples:

- `arecord -q -t raw -f S16_LE -r 16000 | sedtf listen checkpoint=RUN sample_rate=16000`
- `ffmpeg -v error -i URL -f f32le -ac 2 -ar 48000 - | sedtf listen checkpoint=RUN dtype=f32
  channels=2 sample_rate=48000`
- `sox -q -d -t raw -e signed -b 16 -c 1 -r 44100 - | sedtf listen checkpoint=RUN sample_rate=44100`
"""


COMPARE = """Compare runs or sweeps in one table, with the spread over seeds, and in figures.

Words without `=` are folders: runs of `train` or `eval`, or any folder above such runs.
Failed and unfinished runs are listed, but not compared.

Examples:

- `sedtf compare outputs/train/2026-01-31/12-00-00-000000`
- `sedtf compare SWEEP OTHER_SWEEP baseline=free_running`
- `sedtf compare SWEEP metric=event 'baseline=sampler=free_running model.rnn_hidden=32'`
- `sedtf compare RUN_1 RUN_2 RUN_3 output_dir=table`

Folds (runs that differ only in `data.fold`) are merged by summing their counts. Sequence
models are sorted by perplexity, with the gap between teacher-forced and free-running accuracy, and
a figure of their learning curves. Keys: `metric` (such as frame or event), `baseline`,
`output_dir`.
"""


SYNTH = """Write annotated soundscapes, from a bank of isolated clips or from synthetic events.

A bank is a folder of class folders. Silence at the ends of clips is trimmed. No source clip occurs
in two splits; a bank's own splits or folds are kept. The recipe beside the data set reproduces it
byte for byte.

Examples:

- `sedtf synth`
- `sedtf synth data.bank=esc10 output_dir=scenes`
- `sedtf synth data.bank=esc10 data.n_train=600 data.polyphony=4 'data.snr_db=[0,20]'`
- `sedtf synth data.bank=clips 'data.classes=[dog,cat]' 'data.event_duration_s=[0.2,3]'`
- `sedtf synth data.bank=clips data.bank_splits=splits.tsv data.transition=syntax.csv format=csv`
- `sedtf synth recipe=scenes/recipe.json data.bank=moved/esc10`
- `sedtf train data.bank=esc10` generates such a data set and trains on it

{groups}
"""


REPORT = """Write one HTML page of a run: scores, curves, errors, and test files to listen to.

The page needs no network and no other file. It plays recordings beside the spectrogram, the
reference, the detected events and the probabilities. The word without `=` is the run folder of
`train` or `eval`.

Examples:

- `sedtf report outputs/train/2026-01-31/12-00-00-000000`
- `sedtf report RUN output_dir=page` writes `page/report.html`
- `sedtf report RUN files=10` shows the 10 worst files, `files=null` all, `files=0` none
- `sedtf report RUN longest_s=60` shows only the minute with the most errors of longer recordings

Keys: `files`, `longest_s`, `device`, `threads`, `output_dir`.
"""

STATUS = """Show the progress of runs, running or finished: those of a sweep, or all below a folder.

For each run it shows the status (running, completed, failed with the reason, interrupted,
waiting), the epochs, the best value and the remaining time. Runs on other machines are shown too,
if the folder is shared; they count as interrupted after two minutes without a heartbeat.
The word without `=` is the folder.

Examples:

- `sedtf status outputs/train/2026-01-31/12-00-00-000000`
- `sedtf status SWEEP watch=10` refreshes it every 10 seconds
- `sedtf status outputs` lists all runs there
"""

VERBS = {
    "train": TRAIN,
    "eval": EVAL,
    "predict": PREDICT,
    "listen": LISTEN,
    "export": EXPORT,
    "simulate": SIMULATE,
    "synth": SYNTH,
    "data": DATA,
    "compare": COMPARE,
    "report": REPORT,
    "cache": CACHE,
    "status": STATUS,
}
