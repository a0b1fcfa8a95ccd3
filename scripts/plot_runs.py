"""Draws the loss curves of pre-training runs into one picture.

Usage: plot_runs.py RUN... --output losses.png   (PNG, SVG or PDF by the name; needs matplotlib)

A RUN is a folder with metrics.jsonl. Thin lines are single steps, thick ones their running mean; dashed lines with dots
are the loss on held-out clips.
"""

import argparse
import json
import sys
from pathlib import Path


def read_metrics(run: Path) -> list[dict]:
    """The records of a run, in the order of their steps; a half-written last line is left out."""
    path = run / "metrics.jsonl"
    if not path.is_file():
        sys.exit(f"{run}: holds no metrics.jsonl; a run folder of pretrain is needed")
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            print(f"{path}:{number}: left out, it is not JSON", file=sys.stderr)
    if not records:
        sys.exit(f"{path}: is empty; the run has made no step yet")
    return records


def column(records: list[dict], x: str, y: str) -> tuple[list[float], list[float]]:
    """x and y of the records that have both; a loss that was not finite is null."""
    pairs = [(record[x], record[y]) for record in records if record.get(y) is not None]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def running_mean(values: list[float], width: int) -> list[float]:
    """Mean of each value and up to width − 1 before it."""
    means, total = [], 0.0
    for index, value in enumerate(values):
        total += value - (values[index - width] if index >= width else 0.0)
        means.append(total / min(index + 1, width))
    return means


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("-o", "--output", type=Path, required=True, help="picture to write (.png, .svg, .pdf)")
    parser.add_argument("--x", choices=["step", "epoch"], default="epoch", help="horizontal axis [epoch]")
    parser.add_argument("--smooth", type=int, default=0, help="steps of the running mean [1/50 of the longest run]")
    parser.add_argument("--log", action="store_true", help="logarithmic loss axis")
    arguments = parser.parse_args()
    try:
        import matplotlib
    except ImportError:
        sys.exit("plot_runs.py needs matplotlib: python3 -m pip install matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    curves = [(run, read_metrics(run)) for run in arguments.runs]
    width = arguments.smooth or max(1, max(len(records) for _, records in curves) // 50)
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for index, (run, records) in enumerate(curves):
        colour = f"C{index % 10}"
        x, loss = column(records, arguments.x, "loss")
        axes.plot(x, loss, color=colour, alpha=0.2, linewidth=0.7)
        axes.plot(x, running_mean(loss, width), color=colour, linewidth=1.6, label=run.name)
        x, loss = column(records, arguments.x, "validation_loss")
        if loss:
            axes.plot(x, loss, color=colour, linestyle="--", marker="o", markersize=3, label=f"{run.name}, held out")
    axes.set_xlabel(arguments.x)
    axes.set_ylabel("loss")
    if arguments.log:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(arguments.output, dpi=150)
    return 0


if __name__ == "__main__":
    sys.exit(main())
