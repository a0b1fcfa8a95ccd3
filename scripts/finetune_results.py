#!/usr/bin/env python3
"""Fine-tuned encoders beside frozen ones with an MLP and the same models trained from nothing, on HEAR tasks of whole clips.

Usage: finetune_results.py --bin build/release/bin --output runs/finetune_results --encoder AxLSTM-T=docs/weights/axlstm_tiny_e2
                           --encoder SSAST-T=runs/ssast [--seeds 3] [--set optim.epochs=50 …] [--jobs 4] [--gpus 2] [--rates 1e-3,4e-3]
                           TASK…

For every encoder, task, seed, variant and learning rate one `finetune` over all folds of the task. Variants: finetuned (encoder
and head are trained), frozen (an MLP on the encoder as it is), scratch (the same model from random weights). A run that is
finished is not made again, and one that was interrupted goes on. Writes OUTPUT/results.json, with the scores and intervals of
every run, and OUTPUT/results.md: mean ± half width of the 95 % t-interval over seeds of each task's own first score, at the
learning rate that was best for the model, variant and task on the clips that validate: its mean over seeds and folds. Both are
written of what is there when it ends or is interrupted; runs that are missing are counted.
"""

import argparse
import json
import math
import os
import queue
import re
import signal
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

# The same for all encoders and tasks.
RECIPE = ["head.pooling=time_mean", "optim.global_batch=32", "optim.epochs=30", "optim.warmup_epochs=3", "optim.layer_decay=0.75",
          "optim.beta2=0.999", "classification.frequency_mask=15", "classification.time_mask=40", "classification.time_roll=20",
          "classification.mixup=0.5", "classification.drop_path=0.1"]
VARIANTS = {
    "finetuned": [],
    "frozen": ["classification.train=head", "head.hidden=1024", "optim.layer_decay=1", "classification.drop_path=0"],
    "scratch": ["optim.layer_decay=1"],
}
SCORES = {"top1_acc": "accuracy", "pitch_acc": "accuracy", "mAP": "mAP", "aucroc": "AUC", "d_prime": "d_prime"}
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


class Job(NamedTuple):
    encoder: str
    variant: str
    task: Path
    seed: int
    rate: str

    def run_of(self, output: Path) -> Path:
        return output / "runs" / self.encoder / self.variant / self.task.name / f"lr{self.rate}" / f"seed{self.seed}"


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


def validation_of(run: Path, name: str) -> float:
    """The best score that a run saw on the clips that validate: the mean over its folds; -inf of one that was too short for any."""
    best = []
    for metrics in sorted(run.glob("fold*/metrics.jsonl")) or [run / "metrics.jsonl"]:
        records = map(json.loads, metrics.read_text(encoding="utf-8").splitlines())
        found = [record[f"validation_{name}"] for record in records if record.get(f"validation_{name}") is not None]
        best.append(max(found, default=-math.inf))
    return statistics.fmean(best)


def is_done(run: Path) -> bool:
    return (run / "scores.json").exists() or (run / "test.json").exists()


def finetune(arguments: argparse.Namespace, run: Path, encoder: Path, job: Job, places: queue.SimpleQueue[str]) -> None:
    if is_done(run):
        return
    run.mkdir(parents=True, exist_ok=True)
    command = [str(arguments.bin / "finetune"), "--quiet"]
    variant = job.variant
    keys = [*RECIPE, *VARIANTS[variant], *arguments.set, f"optim.base_lr={job.rate}", f"data.task={job.task}",
            f"train.seed={job.seed}", f"train.run_dir={run}"]
    if variant == "scratch":
        (run / "model.yaml").write_text(model_sections(encoder), encoding="utf-8")
        command += ["--config", str(run / "model.yaml")]
    else:
        keys.append(f"classification.encoder={encoder}")
    place = places.get()
    try:
        with (run / "log.txt").open("a", encoding="utf-8") as log:
            done = subprocess.run([*command, *keys], stdout=log, stderr=log, check=False,
                                  env={**os.environ, **({"CUDA_VISIBLE_DEVICES": place} if place else {})})
    finally:
        places.put(place)
    if done.returncode != 0:
        raise RuntimeError(f"{run}: finetune ended with {done.returncode}; see {run / 'log.txt'}")
    print(f"{run} done", flush=True)


def cell(values: list[float]) -> str:
    mean = 100 * statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.1f}"
    half = T_95.get(len(values), 1.96) * 100 * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.1f} ± {half:.1f}"


def write_results(arguments: argparse.Namespace, encoders: list[str], missing: list[Job]) -> None:
    metadata = {task: json.loads((task / "task_metadata.json").read_text(encoding="utf-8")) for task in arguments.tasks}
    results = []
    titles = [f"{metadata[task]['task_name']} ({SCORES[metadata[task]['evaluation'][0]]})" for task in arguments.tasks]
    table = ["| model | " + " | ".join(titles) + " |", "| --- |" + " --- |" * len(arguments.tasks)]
    for name in encoders:
        for variant in VARIANTS:
            cells = []
            for task in arguments.tasks:
                score = SCORES[metadata[task]["evaluation"][0]]
                all_runs = [Job(name, variant, task, seed, rate) for rate in arguments.rates for seed in range(arguments.seeds)]
                done = [job for job in all_runs if job not in missing]
                places = {job: job.run_of(arguments.output) for job in done}
                seen = {job: validation_of(places[job], score) for job in done}
                of_rate = {rate: [seen[job] for job in done if job.rate == rate] for rate in arguments.rates}
                chosen = max(arguments.rates, key=lambda rate, seen=of_rate: statistics.fmean(seen[rate]) if seen[rate] else -math.inf)
                values = [score_of(places[job], score)[0] for job in done if job.rate == chosen]
                lost = len(all_runs) - len(done)
                cells.append((cell(values) if values else "–") + (f" ({lost} of {len(all_runs)} missing)" if lost else ""))
                for job in done:
                    value, content = score_of(places[job], score)
                    results.append({"encoder": name, "variant": variant, "task": task.name, "seed": job.seed,
                                    "base_lr": float(job.rate), "chosen": job.rate == chosen, "score": score, "value": value,
                                    "validation": seen[job], "file": content})
            table.append(f"| {name}, {variant} | " + " | ".join(cells) + " |")
    record = {"recipe": RECIPE, "variants": VARIANTS, "rates": arguments.rates, "set": arguments.set, "results": results}
    (arguments.output / "results.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    (arguments.output / "results.md").write_text("\n".join(table) + "\n", encoding="utf-8")
    print("\n".join(table))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--encoder", action="append", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", default="1e-3,4e-3,1.6e-2", help="values of optim.base_lr to choose from (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="keys of finetune, for all runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once on each GPU, which they share")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs to use, from the first on; 0: as CUDA_VISIBLE_DEVICES says, or none")
    parser.add_argument("tasks", nargs="+", type=Path)
    arguments = parser.parse_args()
    arguments.rates = arguments.rates.split(",")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    encoders = {name: Path(folder) for name, folder in (text.split("=", 1) for text in arguments.encoder)}

    places: queue.SimpleQueue[str] = queue.SimpleQueue()
    for _ in range(arguments.jobs):
        for gpu in range(max(1, arguments.gpus)):
            places.put(str(gpu) if arguments.gpus else "")
    jobs = [Job(name, variant, task, seed, rate) for seed in range(arguments.seeds) for rate in arguments.rates for task in arguments.tasks
            for name in encoders for variant in VARIANTS]
    failures = []
    pool = ThreadPoolExecutor(places.qsize())
    try:
        waiting = [pool.submit(finetune, arguments, job.run_of(arguments.output), encoders[job.encoder], job, places) for job in jobs]
        failures = [str(one.exception()) for one in waiting if one.exception()]
    except KeyboardInterrupt:
        failures = ["interrupted; the same command goes on"]
    finally:
        pool.shutdown(cancel_futures=True)
        missing = [job for job in jobs if not is_done(job.run_of(arguments.output))]
        write_results(arguments, list(encoders), missing)
    for failure in [*failures, *([f"{len(missing)} of {len(jobs)} runs are missing"] if missing else [])]:
        print(failure, file=sys.stderr)
    return 1 if failures or missing else 0


if __name__ == "__main__":
    sys.exit(main())
