"""Data sets in common formats, given only ``data.root``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed_cli.config.data import AnnotatedConfig
from sed_cli.data.annotations import Event
from sed_cli.data.survey import load_manifest
from sed_cli.errors import DataError
from tests.audio.test_foreign import write_m4a
from tests.data.annotations import bank, bank_json
from tests.data.annotations.bank import (
    ALL,
    NAMES,
    Files,
    clock,
    each,
    hundred_ns,
    lines,
    milliseconds,
    samples,
    table,
)

BIRDNET_RAVEN = "\t".join(
    (
        *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)"),
        *("High Freq (Hz)", "Common Name", "Species Code", "Confidence", "Begin Path"),
        "File Offset (s)\n",
    )
)
RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"
KALEIDOSCOPE = (
    "INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,Fmin,Fmean,Fmax,DATE,TIME,HOUR,DATE-12,TIME-12,"
    "HOUR-12,TOP1MATCH,TOP1DIST,VOCALIZATIONS,MANUAL ID\n"
)
LABELLED: dict[str, Files] = {
    "textgrid_long": each(".TextGrid", lambda n, e: bank.text_grid(n, e, is_long=True)),
    "textgrid_short": each(".TextGrid", lambda n, e: bank.text_grid(n, e, is_long=False)),
    "elan": each(".eaf", bank.elan),
    "timit_phn": each(".PHN", lines("{on} {off} {label}", times=samples)),
    "timit_wrd": each(".wrd", lines("{on} {off} {label}", times=samples)),
    "htk_lab": each(".lab", lines("{on} {off} {label}", times=hundred_ns)),
    "htk_mlf": bank.master_labels(),
    "lab_in_seconds": each(".lab", lines("{on:.6f} {off:.6f} {label}")),
    "koumura": bank.koumura(),
    "generic_seq": table(
        "annotations.csv",
        "{label},{on},{off},None,None,/home/me/{name}.wav,/home/me/{name}.txt,0,0",
        head="label,onset_s,offset_s,onset_sample,offset_sample,notated_path,annot_path,sequence,"
        "annotation\n",
    ),
    "simple_seq": each(".csv", lines("{on},{off},{label}", head="onset_s,offset_s,label\n")),
    "simple_seq_wav_csv": each(
        ".wav.csv", lines("{on},{off},{label}", head="start_seconds,stop_seconds,label\n")
    ),
    "sonic_visualiser": each(".svl", bank.sonic_visualiser),
    "sonic_visualiser_regions": each(".csv", lines("{on:.9f},1,{dur:.9f},{label}")),
    "number_before_label": each(".csv", lines("{on},{off},0.81,{label}")),
    "sonic_visualiser_header": each(
        ".csv", lines("{on:.9f},1,{dur:.9f},{label}", head="TIME,VALUE,DURATION,LABEL\n")
    ),
    "label_studio": bank_json.label_studio(),
    "label_studio_min": bank_json.label_studio_min(),
    "label_studio_csv": bank_json.label_studio_table(","),
    "label_studio_tsv": bank_json.label_studio_table("\t"),
    "via_json": bank_json.via_json(),
    "via_csv": bank_json.via_csv(),
    "coco": bank_json.coco(),
    "whisperseg_json": each(".json", bank_json.whisper_seg),
    "whisperseg_csv": each(".csv", lines("{on},{off},{label}", head="onset,offset,cluster\n")),
    "whisperseg_folder": table(
        "out.csv", "{name}.wav,{on},{off},{label}", head="filename,onset,offset,cluster\n"
    ),
    "whisperx": each(".json", bank_json.whisper_x),
    "whisper_cpp": each(".json", bank_json.whisper_cpp),
    "whisper_tsv": each(
        ".tsv", lines("{on}\t{off}\t{label}", head="start\tend\ttext\n", times=milliseconds)
    ),
    "srt": each(".srt", bank.subtitle("{n}\n{on} --> {off}\n{label}\n")),
    "vtt": each(".vtt", lines("{on} --> {off}\n{label}\n", head="WEBVTT\n\n", times=clock)),
    "batdetect2_json": each(".wav.json", bank_json.batdetect),
    "batdetect2_csv": each(
        ".wav.csv",
        lines(
            "{n},0.9,{on},{off},60000,40000,{label},0.81",
            head="id,det_prob,start_time,end_time,high_freq,low_freq,class,class_prob\n",
        ),
    ),
    "whombat": bank_json.whombat(),
    "sprsound": each(".json", bank_json.spr_sound),
    "avianz": each(".wav.data", bank_json.avianz),
    "nested_json": bank_json.nested_json(),
    "json_by_file": bank_json.json_by_file(),
    "json_lines": bank_json.json_lines(),
    "birdnet_raven": each(
        ".BirdNET.selection.table.txt",
        lines(
            "{n}\tSpectrogram 1\t1\t{on}\t{off}\t0\t15000\t{label}\tcode{label}\t0.81"
            "\t/data/{name}.wav\t{on}",
            head=BIRDNET_RAVEN,
        ),
    ),
    "birdnet_audacity": each(".BirdNET.results.txt", lines("{on}\t{off}\t{label}\t0.8123")),
    "birdnet_r": each(
        ".BirdNET.results.r.csv",
        lines(
            "/data/{name}.wav,{on},{off},Sp {label},{label},0.81,-1,-1,-1,0,1.0,0.1,,V2.4",
            head="filepath,start,end,scientific_name,common_name,confidence,lat,lon,week,overlap,"
            "sensitivity,min_conf,species_list,model\n",
        ),
    ),
    "birdnet_kaleidoscope": each(
        ".BirdNET.results.kaleidoscope.csv",
        lines(
            "/data,site,{name}.wav,{on},{dur},Sp {label},{label},-1,-1,-1,0,1.0",
            head="INDIR,FOLDER,IN FILE,OFFSET,DURATION,scientific_name,common_name,lat,lon,week,"
            "overlap,sensitivity\n",
        ),
    ),
    "birdnet_csv": each(
        ".BirdNET.results.csv",
        lines(
            "{on},{off},Sp {label},{label},0.8123,/data/{name}.wav",
            head="Start (s),End (s),Scientific name,Common name,Confidence,File\n",
        ),
    ),
    "kaleidoscope": table(
        "cluster.csv",
        r"C:\data,site,{name}.wav,0,{on},{dur},2000,2500,3000,2024-05-01,21:00:00,21,2024-05-01,"
        "09:00:00,9,cluster_0,0.3,1,{label}",
        head=KALEIDOSCOPE,
    ),
    "avisoft": each(".txt", lines("{label}\t{on}\t{off}")),
    "raven": each(
        ".Table.1.selections.txt",
        lines(
            "{n}\tWaveform 1\t1\t{on}\t{off}\t0\t8000\t{label}\n"
            "{n}\tSpectrogram 1\t1\t{on}\t{off}\t0\t8000\t{label}",
            head=f"{RAVEN}\tAnnotation\n",
        ),
    ),
    "raven_of_all": table(
        "all.selections.txt",
        "{n}\tSpectrogram 1\t1\t{on}\t{off}\t0\t8000\tD:\\data\\{name}.wav\t{on}\t{label}",
        head=f"{RAVEN}\tBegin Path\tFile Offset (s)\tSpecies\n",
    ),
    "audacity": each(".txt", lines("{on}\t{off}\t{label}")),
    "audacity_spectral": each(".txt", lines("{on}\t{off}\t{label}\n\\\t2000.5\t3000.5")),
    "clock_times": table(
        "labels.csv", "{name}.wav,{on},{off},{label}", head="file,start,end,label\n", times=clock
    ),
    "times_in_ms": table(
        "labels.csv",
        "{name}.wav,{on},{off},{label}",
        head="file,start,end,label\n",
        times=milliseconds,
    ),
    "times_in_samples": table(
        "labels.csv", "{name}.wav,{on},{off},{label}", head="file,start,end,label\n", times=samples
    ),
    "opensoundscape": table(
        "annotations.csv",
        "{name}.wav,{name}.txt,{label},{on},{off},300,4000",
        head="audio_file,annotation_file,annotation,start_time,end_time,low_f,high_f\n",
    ),
    "audioset": table(
        "audioset_strong.tsv",
        "{name}\t{on}\t{off}\t{label}",
        head="segment_id\tstart_time_seconds\tend_time_seconds\tlabel\n",
    ),
    "desed": table(
        "labels.tsv",
        "{name}.wav\t{on}\t{off}\t{label}",
        head="filename\tonset\toffset\tevent_label\n",
    ),
    "rttm": table("labels.rttm", "SPEAKER {name} 1 {on} {dur} <NA> <NA> {label} <NA> <NA>"),
    "jams": each(".jams", bank_json.jams),
    "tut": table("meta.txt", "audio/{name}.wav\thome\t{on}\t{off}\t{label}\tm\tx01"),
}


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bank") / "rec.wav"
    noise = np.random.default_rng(0).normal(0, 0.02, round(bank.DURATION_S * bank.RATE))
    soundfile.write(path, noise, bank.RATE, subtype="PCM_U8")
    return path


def lay_out(folder: Path, files: Files, audio: Path) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for name in NAMES:
        (folder / f"{name}.wav").write_bytes(audio.read_bytes())


def found_in(folder: Path) -> dict[str, list[Event]]:
    """Events of all splits, times to the millisecond."""
    manifest = load_manifest(AnnotatedConfig(root=str(folder), leak_check="none"))
    return {
        clip.path.name.split(".")[0]: [
            Event(round(e.onset_s, 3), round(e.offset_s, 3), e.label) for e in clip.events
        ]
        for clips in manifest.splits.values()
        for clip in clips
    }


@pytest.mark.parametrize("sample", LABELLED)
def test_a_data_set_is_read_by_its_folder_alone(sample: str, audio: Path, tmp_path: Path) -> None:
    lay_out(tmp_path, LABELLED[sample], audio)

    assert found_in(tmp_path) == ALL


# --------------------------------------------------- fewer labels than that, or other audio


UNLABELLED: dict[str, Files] = {
    "raven_without_annotation": each(
        ".Table.1.selections.txt",
        lines("{n}\tSpectrogram 1\t1\t{on}\t{off}\t0\t8000", head=f"{RAVEN}\n"),
    ),
    "audacity_blank": each(".txt", lines("{on}\t{off}\t")),
    "two_columns": each(".txt", lines("{on}\t{off}")),
    "usvseg": each(
        ".csv",
        lines("{n},{on},{off},{dur},50.1,0.3", head="#,start,end,duration,maxfreq,maxamp\n"),
    ),
    "table": table("calls.csv", "{name}.wav,{on},{off}", head="file,start,end\n"),
}


@pytest.mark.parametrize("sample", UNLABELLED)
def test_events_without_labels_are_one_class(sample: str, audio: Path, tmp_path: Path) -> None:
    lay_out(tmp_path, UNLABELLED[sample], audio)

    assert found_in(tmp_path) == {
        name: [event._replace(label="call") for event in events] for name, events in ALL.items()
    }


def test_syllables_of_evtaf_are_read_with_its_raw_samples(tmp_path: Path) -> None:
    for path, content in bank.not_mat(".cbin").items():
        (tmp_path / path).write_bytes(bytes(content))
        name = path.split(".")[0]
        (tmp_path / f"{name}.cbin").write_bytes(bytes(2 * 10 * bank.RATE))
        (tmp_path / f"{name}.rec").write_text(f"ADFREQ =  {bank.RATE}\nChans =  1\n")

    assert found_in(tmp_path) == {
        name: [event._replace(label=event.label[0]) for event in events]
        for name, events in ALL.items()
    }


def test_syllables_of_evtaf_are_read_beside_wav(audio: Path, tmp_path: Path) -> None:
    lay_out(tmp_path, bank.not_mat(".wav"), audio)
    assert sum(map(len, found_in(tmp_path).values())) == 12


def test_of_a_few_shot_table_what_is_positive_is_an_event(audio: Path, tmp_path: Path) -> None:
    values = {"whistle": "POS,NEG", "click": "UNK,POS"}
    for name, events in ALL.items():
        rows = [f"{name}.wav,{on},{off},{values[label]}\n" for on, off, label in events]
        rows.append(f"{name}.wav,8.0,9.0,NEG,UNK\n")
        head = "Audiofilename,Starttime,Endtime,whistle,click\n"
        (tmp_path / f"{name}.csv").write_text(head + "".join(rows))
    lay_out(tmp_path, {}, audio)

    assert found_in(tmp_path) == ALL


@pytest.mark.parametrize(
    "empty",
    [
        '{"annotation": [], "id": "rec_a.wav"}',
        '{"onset": [], "offset": [], "cluster": []}',
        '{"event_annotation": []}',
        "[]",
    ],
)
def test_json_with_an_empty_list_is_a_recording_without_events(
    empty: str, audio: Path, tmp_path: Path
) -> None:
    lay_out(tmp_path, {**each(".json", bank_json.whisper_seg), "rec_a.json": empty}, audio)
    assert found_in(tmp_path) == {**ALL, "rec_a": []}


def test_recordings_of_a_phone_are_read(tmp_path: Path) -> None:
    for name in NAMES:
        write_m4a(tmp_path / f"{name}.m4a", np.zeros(10 * 16_000))
    for name, content in LABELLED["audacity"].items():
        (tmp_path / name).write_text(str(content))

    assert found_in(tmp_path) == ALL


UNREAD: dict[str, tuple[str, str]] = {
    "excel": ("labels.xlsx", "an Excel workbook, which is not supported: save the table as CSV"),
    "sonic_visualiser_session": ("rec_a.sv", "File > Export Annotation Layer"),
    "audacity_project": ("rec_a.aup3", "File > Export > Export Labels"),
    "transcriber": ("rec_a.trs", "open it in ELAN or Praat"),
    "parquet": ("labels.parquet", "a Parquet table, which is not supported"),
    "matlab": ("rec_a.mat", r"a MATLAB 7\.3 file \(HDF5\), which is not read"),
    "pamguard": ("survey.sqlite3", "a database"),
}


@pytest.mark.parametrize("sample", UNREAD)
def test_what_is_not_read_is_named_with_what_to_export(
    sample: str, audio: Path, tmp_path: Path
) -> None:
    name, advice = UNREAD[sample]
    content = b"MATLAB 7.3 MAT-file, \0" if name.endswith(".mat") else b"PK\x03\x04\0\0"
    lay_out(tmp_path, {name: content}, audio)

    with pytest.raises(DataError, match=advice) as raised:
        found_in(tmp_path)
    assert name in str(raised.value)
