#!/usr/bin/env python3
"""Fine-tuned encoders beside frozen ones with an MLP and the same models trained from nothing, on HEAR tasks of whole clips.

Usage: finetune_results.py --bin build/release/bin --output runs/finetune_results --encoder AxLSTM-T=docs/weights/axlstm_tiny_e2
                           --encoder SSAST-T=runs/ssast [--seeds 3] [--set optim.epochs=50 …] [--jobs 4] TASK…

For every encoder, task, seed and variant one `finetune` over all folds of the task. Variants: finetuned (encoder and head are
trained), frozen (an MLP on the encoder as it is), scratch (the same model from random weights). A run that is finished is not
made again, and one that was interrupted goes on. Writes OUTPUT/results.json, with the scores and intervals of every run, and
OUTPUT/results.md: mean ± half width of the 95 % t-interval over seeds of each task's own first score.
"""

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# The same for all encoders and tasks: nothing is tuned to one of them.
RECIPE = ["optim.base_lr=1e-3", "optim.global_batch=32", "optim.epochs=30", "optim.warmup_epochs=3", "optim.layer_decay=0.75",
          "optim.beta2=0.999", "classification.frequency_mask=15", "classification.time_mask=40", "classification.time_roll=20",
          "classification.mixup=0.5", "classification.drop_path=0.1"]
VARIANTS = {
    "finetuned": [],
    "frozen": ["classification.train=head", "head.hidden=1024", "optim.layer_decay=1", "classification.drop_path=0"],
    "scratch": ["optim.layer_decay=1"],
}
SCORES = {"top1_acc": "accuracy", "pitch_acc": "accuracy", "mAP": "mAP", "aucroc": "AUC", "d_prime": "d_prime"}
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def model_sections(encoder: Path) -> str:
    """The sections model and audio of an encoder's config.yaml, as they stand there."""
    folder = encoder if (encoder / "config.yaml").exists() else max(encoder.glob("checkpoints/step-*"))
    sections = re.split(r"(?m)^(?=\w)", (folder / "config.yaml").read_text(encoding="utf-8"))
    return "".join(section for section in sections if section.startswith(("model:", "audio:")))


def score_of(run: Path, name: str) -> tuple[float, object]:
    """The mean over folds, and what the file says."""
    folds = run / "scores.json"
    if folds.exists():
        found = json.loads(folds.read_text(encoding="utf-8"))
        return found[name]["mean"], found
    found = json.loads((run / "test.json").read_text(encoding="utf-8"))
    return found[name]["value"], found


def is_done(run: Path) -> bool:
    return (run / "scores.json").exists() or (run / "test.json").exists()


def finetune(arguments: argparse.Namespace, run: Path, encoder: Path, task: Path, variant: str, seed: int) -> None:
    if is_done(run):
        return
    run.mkdir(parents=True, exist_ok=True)
    command = [str(arguments.bin / "finetune"), "--quiet"]
    keys = [*RECIPE, *VARIANTS[variant], *arguments.set, f"data.task={task}", f"train.seed={seed}", f"train.run_dir={run}"]
    if variant == "scratch":
        (run / "model.yaml").write_text(model_sections(encoder), encoding="utf-8")
        command += ["--config", str(run / "model.yaml")]
    else:
        keys.append(f"classification.encoder={encoder}")
    with (run / "log.txt").open("a", encoding="utf-8") as log:
        done = subprocess.run([*command, *keys], stdout=log, stderr=log, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{run}: finetune ended with {done.returncode}; see {run / 'log.txt'}")
    print(f"{run} done", flush=True)


def cell(values: list[float]) -> str:
    mean = 100 * statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.1f}"
    half = T_95.get(len(values), 1.96) * 100 * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.1f} ± {half:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--encoder", action="append", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="keys of finetune, for all runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once; they share the GPU")
    parser.add_argument("tasks", nargs="+", type=Path)
    arguments = parser.parse_args()
    arguments.set = list(arguments.set)
    encoders = {name: Path(folder) for name, folder in (text.split("=", 1) for text in arguments.encoder)}

    def place(name: str, variant: str, task: Path, seed: int) -> Path:
        return arguments.output / "runs" / name / variant / task.name / f"seed{seed}"

    jobs = [(name, variant, task, seed) for seed in range(arguments.seeds) for task in arguments.tasks
            for name in encoders for variant in VARIANTS]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        waiting = [pool.submit(finetune, arguments, place(*job), encoders[job[0]], job[2], job[1], job[3]) for job in jobs]
        failures = [str(one.exception()) for one in waiting if one.exception()]
    for failure in failures:
        print(failure, file=sys.stderr)
    if failures:
        return 1
    metadata = {task: json.loads((task / "task_metadata.json").read_text(encoding="utf-8")) for task in arguments.tasks}
    results = []
    titles = [f"{metadata[task]['task_name']} ({SCORES[metadata[task]['evaluation'][0]]})" for task in arguments.tasks]
    table = ["| model | " + " | ".join(titles) + " |", "| --- |" + " --- |" * len(arguments.tasks)]
    for name in encoders:
        for variant in VARIANTS:
            cells = []
            for task in arguments.tasks:
                score = SCORES[metadata[task]["evaluation"][0]]
                found = [score_of(place(name, variant, task, seed), score) for seed in range(arguments.seeds)]
                cells.append(cell([value for value, _ in found]))
                results += [{"encoder": name, "variant": variant, "task": task.name, "seed": seed, "score": score,
                             "value": value, "file": content} for seed, (value, content) in enumerate(found)]
            table.append(f"| {name}, {variant} | " + " | ".join(cells) + " |")
    (arguments.output / "results.json").write_text(
        json.dumps({"recipe": RECIPE, "variants": VARIANTS, "set": arguments.set, "results": results}, indent=1), encoding="utf-8")
    (arguments.output / "results.md").write_text("\n".join(table) + "\n", encoding="utf-8")
    print("\n".join(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
