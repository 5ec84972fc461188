"""The table of ``sedtf compare``: on the terminal, and as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from sed_cli.reports.tables import results_console
from sed_cli.system.files import replacing
from sed_cli.system.text import and_more, cell, in_markdown

_SHOWN_LEFT_OUT = 10
Comparison = Mapping[str, Any]
"""Contents of ``comparison.json``."""


# ---------------------------------------------------------------------------- the terminal


def print_comparison(comparison: Comparison, run_dir: Path) -> None:
    """Print one row per configuration, then runs left out and why, then notes."""
    console = results_console()
    table = _fitting_table(comparison, console)
    if table is not None:
        console.print(table)
    else:
        _print_numbered(comparison, console)
    left_out = comparison["left_out"]
    if left_out:
        _say(console, f"{len(left_out)} of {comparison['n_runs']} runs left out:")
        for run in left_out[:_SHOWN_LEFT_OUT]:
            _say(console, f"  {run['folder']}: {run['reason']}")
        if rest := and_more(len(left_out), _SHOWN_LEFT_OUT):
            _say(console, f" {rest}, listed in comparison.json")
    for line in _more_audio(comparison):
        _say(console, line)
    for note in comparison["notes"]:
        _say(console, f"note: {note}")
    _say(console, f"run folder: {run_dir}")


def _more_audio(comparison: Comparison) -> list[str]:
    """Print the predicted effect of more training audio, one line per curve."""
    lines = []
    for curve in comparison["amounts"] or ():
        name, fit = f" of {curve['name']}" if curve["name"] else "", curve["fit"]
        if fit is None:
            lines.append(f"no curve over training audio{name}: {curve['why_no_fit']}")
            continue
        ahead = ", ".join(
            f"{_interval(each)} with {each['minutes']:.3g} min ({each['times']} times as much)"
            for each in fit["predicted"]
        )
        lines.append(f"{comparison['principal']['title']}{name} would be {ahead}")
    return lines


def _interval(values: Mapping[str, Any]) -> str:
    return f"{values['score']:.3f} [{values['low']:.3f}, {values['high']:.3f}]"


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True)


def _print_numbered(comparison: Comparison, console: Console) -> None:
    """Number the rows and explain them below: too many differences for columns."""
    rows = [
        {**row, "columns": {"row": str(number)}}
        for number, row in enumerate(comparison["rows"], start=1)
    ]
    numbered = {**comparison, "columns": ["row"], "rows": rows}
    names = {row["name"]: number for number, row in enumerate(comparison["rows"], start=1)}
    if comparison["baseline"] is not None:
        numbered["baseline"] = f"row {names[comparison['baseline']]}"
    console.print(_fitting_table(numbered, console) or _table(numbered, []))
    for name, number in names.items():
        _say(console, f"{number}: {name}")


def _fitting_table(comparison: Comparison, console: Console) -> Table | None:
    """Show as many metrics as the width allows, at least the requested one."""
    unbounded, shown = console.options.update_width(10_000), comparison["shown"]
    for n_shown in range(len(shown), 0, -1):
        table = _table(comparison, shown[:n_shown])
        if Measurement.get(console, unbounded, table).maximum <= console.width:
            return table
    return None


def _table(comparison: Comparison, shown: Sequence[Mapping[str, Any]]) -> Table:
    principal, has_base = comparison["principal"], comparison["baseline"] is not None
    table = Table(caption=_caption(comparison), caption_justify="left")
    for name in comparison["columns"] or ["configuration"]:
        table.add_column(name.replace(".", "\n"), no_wrap=True)
    table.add_column("seeds", justify="right", no_wrap=True)
    for figure in shown:
        title = "\n".join(figure["title"].rsplit(" ", 1))
        table.add_column(title, justify="right", no_wrap=True)
    if has_base:
        name = _last_word(principal)
        table.add_column(f"{name} against\nbaseline", justify="right", no_wrap=True)
        table.add_column("p", justify="right", no_wrap=True)
    for row in comparison["rows"]:
        cells = [*row["columns"].values()] or [row["name"]]
        cells.append(str(len(row["seeds"])))
        cells += [_spread(_score(row, figure)) for figure in shown]
        cells += _against(row, principal) if has_base else []
        table.add_row(*cells, style="bold" if row["is_baseline"] else None)
    return table


def _score(row: Mapping[str, Any], figure: Mapping[str, Any]) -> Mapping[str, Any]:
    score: Mapping[str, Any] = row["scores"][figure["kind"]][figure["name"]]
    return score


def _last_word(figure: Mapping[str, Any]) -> str:
    return str(figure["title"].rsplit(" ", 1)[-1])


def _caption(comparison: Comparison) -> str:
    said = ["mean ± half of the 95 % t interval over seeds"]
    if comparison["folds"]:
        said.append(f"counts summed over {len(comparison['folds'])} folds")
    if comparison["baseline"]:
        said.append(f"baseline: {comparison['baseline']}; p of a paired t test, uncorrected")
    return "; ".join(said)


def _against(row: Mapping[str, Any], figure: Mapping[str, Any]) -> list[str]:
    if row["differences"] is None:
        return ["baseline", ""]
    difference = row["differences"][figure["kind"]][figure["name"]]
    p = difference["p"]
    return [_spread(difference, signed=True), "-" if p is None else _p_text(p)]


def _p_text(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _spread(summary: Mapping[str, Any], *, signed: bool = False) -> str:
    mean, low = summary["mean"], summary["low"]
    if mean is None:
        return "-"
    text = f"{mean:+.3f}" if signed else f"{mean:.3f}"
    return text if low is None else f"{text} ± {mean - low:.3f}"


# -------------------------------------------------------------------------------- in files


def write_tables(comparison: Comparison, folder: Path) -> None:
    """Write ``comparison.{csv,md,tex}`` with all kinds, and ``seeds.csv`` with one row per seed."""
    _write_csv(folder / "comparison.csv", _csv_rows(comparison))
    _write_csv(folder / "seeds.csv", _seed_rows(comparison))
    header, *rows = _text_rows(comparison)
    for name, text in (
        ("comparison.md", _markdown(header, rows) + _amounts_markdown(comparison)),
        ("comparison.tex", _latex(header, rows, len(comparison["columns"]) or 1)),
    ):
        with replacing(folder / name) as path:
            path.write_text(text, encoding="utf-8")


def _write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([cell(each) for each in row] for row in rows)


def _csv_rows(comparison: Comparison) -> Iterable[list[Any]]:
    """All metrics of every kind in full precision."""
    scores = comparison["rows"][0]["scores"]
    names = [(kind, name) for kind, of_kind in scores.items() for name in of_kind]
    parts: dict[str, tuple[str, ...]] = {"scores": ("mean", "low", "high")}
    if comparison["baseline"] is not None:
        parts["differences"] = ("mean", "low", "high", "p")
    header = ["configuration", *comparison["columns"], "n_seeds", "n_runs"]
    for part, keys in parts.items():
        prefix = "" if part == "scores" else "difference_"
        header += [f"{kind}_{name}_{prefix}{key}" for kind, name in names for key in keys]
    yield header
    for row in comparison["rows"]:
        cells = [row["name"], *row["columns"].values(), len(row["seeds"]), len(row["runs"])]
        for part, keys in parts.items():
            of_part = row[part]
            cells += [
                of_part[kind][name][key] if of_part else None
                for kind, name in names
                for key in keys
            ]
        yield cells


def _seed_rows(comparison: Comparison) -> Iterable[list[Any]]:
    scores = comparison["rows"][0]["scores"]
    listed = comparison["by_seed"]
    names = [(kind, name) for kind, of in scores.items() for name in of if name in listed]
    yield [
        "configuration", *comparison["columns"], "seed", *(f"{kind}_{name}" for kind, name in names)
    ]  # fmt: skip
    for row in comparison["rows"]:
        for seed in row["seeds"]:
            values = [row["scores"][kind][name]["by_seed"][seed] for kind, name in names]
            yield [row["name"], *row["columns"].values(), seed, *values]


def _text_rows(comparison: Comparison) -> list[list[str]]:
    """The table for a paper: all reported metrics, and the difference of the first."""
    principal, has_base = comparison["principal"], comparison["baseline"] is not None
    header = [*(comparison["columns"] or ["configuration"]), "seeds"]
    header += [figure["title"] for figure in comparison["reported"]]
    if has_base:
        header += [f"{principal['title']} against baseline", "p"]
    rows = [header]
    for row in comparison["rows"]:
        cells = [*(row["columns"].values() or [row["name"]]), str(len(row["seeds"]))]
        cells += [_spread(_score(row, figure)) for figure in comparison["reported"]]
        rows.append(cells + (_against(row, principal) if has_base else []))
    return rows


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(map(in_markdown, cells)) + " |\n"

    return line(header) + line("---" for _ in header) + "".join(line(row) for row in rows)


def _amounts_markdown(comparison: Comparison) -> str:
    """Write for each curve over training audio its sizes, fit and predictions."""
    principal, text = comparison["principal"], ""
    for curve in comparison["amounts"] or ():
        title, fit = f"{principal['title']} over training audio", curve["fit"]
        text += f"\n## {': '.join(filter(None, (title, curve['name'])))}\n\n"
        rows = [
            [size["amount"], f"{size['minutes']:.1f}", str(size["n"]), _spread(size)]
            for size in curve["sizes"]
        ]
        for each in fit["predicted"] if fit else ():
            named = f"{each['times']} times as much, predicted"
            rows.append([named, f"{each['minutes']:.1f}", "", _interval(each)])
        text += _markdown(["amount", "minutes", "runs", principal["title"]], rows)
        if fit is None:
            text += f"\nNo fit: {curve['why_no_fit']}.\n"
            continue
        power = f"{fit['a']:.3f} + {fit['b']:.3f} n^-{fit['c']:.2f}"
        error = power if principal["lower_is_better"] else f"1 - ({power})"
        text += (
            f"\nFit over n minutes: {error}, least squares of {fit['n_runs']} runs. In brackets: "
            f"95 % band of the curve, {fit['n_drawn']} draws of a wild bootstrap of the runs.\n"
        )
    return text


_LATEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "<": "$<$",
        ">": "$>$",
    }
)


def _latex(header: Sequence[str], rows: Sequence[Sequence[str]], n_names: int) -> str:
    """Write a LaTeX table for booktabs; pandas would need jinja2 for it."""

    def line(cells: Iterable[str]) -> str:
        return " & ".join(cell.translate(_LATEX) for cell in cells) + r" \\"

    columns = "l" * n_names + "r" * (len(header) - n_names)
    body = [line(row) for row in rows]
    return "\n".join(
        [
            "% \\usepackage{booktabs}",
            f"\\begin{{tabular}}{{{columns}}}",
            *("\\toprule", line(header), "\\midrule", *body, "\\bottomrule"),
            "\\end{tabular}",
            "",
        ]
    )
