#!/usr/bin/env python3
"""Measures what a busy neighbour costs: the quickstart's pre-training alone and beside processes that only compute.

Usage: neighbour_bench.py --bin build/release/bin --output neighbour.json [--rounds 5] [--steps 40] [--neighbours 1]
                          [--cores 0,1] [--setting ours= --setting sleeping=OMP_WAIT_POLICY=passive …]

A setting is a name and the environment variables that are set for it, separated by commas. Without --setting: ours (no
variable; the programs bound how long OpenMP's threads spin), libgomp's own count, a few others, and sleeping at once. In every
round each setting is measured alone and beside the neighbours, one after the other, so that what else the machine does
hits all alike. Prints a table of medians and writes all numbers as JSON; the speed is that of the steps, without the start.
Needs a machine on which nothing else runs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
WINDOW = 10  # steps; the first window warms up
SETTINGS = ["ours=", "libgomp=GOMP_SPINCOUNT=300000", *(f"spin-{n}=GOMP_SPINCOUNT={n}" for n in (1000, 3000, 10000, 30000)),
            "sleeping=OMP_WAIT_POLICY=passive"]


def parse_setting(text: str) -> tuple[str, dict[str, str]]:
    name, _, variables = text.partition("=")
    return name, dict(variable.split("=", 1) for variable in variables.split(",") if variable)


def train(program: Path, steps: int, variables: dict[str, str]) -> float:
    """Clips a second over all windows but the first."""
    environment = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    with tempfile.TemporaryDirectory() as run:
        command = [str(program), "--quiet", "--config", "configs/quickstart/pretrain.yaml", f"train.max_steps={steps}",
                   f"train.run_dir={run}", f"train.log_every_steps={WINDOW}", "train.save_every_steps=1000000",
                   "train.picture_every_steps=1000000"]
        subprocess.run(command, check=True, cwd=REPOSITORY, env=environment | variables, stdout=subprocess.DEVNULL)
        records = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]
    windows = [record["clips_per_second"] for record in records if record["step"] % WINDOW == 0][1:]
    return statistics.harmonic_mean(windows)


class Neighbours:
    """Processes that only compute, for as long as a block lasts."""

    def __init__(self, count: int) -> None:
        self.count, self.processes = count, []

    def __enter__(self) -> None:
        self.processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(self.count)]

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--neighbours", type=int, default=1)
    parser.add_argument("--cores", help="run everything on these (0,1); default: all")
    parser.add_argument("--setting", action="append", metavar="NAME=VARIABLE=VALUE,…")
    arguments = parser.parse_args()
    if arguments.steps < 2 * WINDOW:
        parser.error(f"--steps: {2 * WINDOW} or more")
    if arguments.cores:
        os.sched_setaffinity(0, [int(core) for core in arguments.cores.split(",")])
    settings = [parse_setting(text) for text in arguments.setting or SETTINGS]
    program = arguments.bin.resolve() / "pretrain"
    speeds = {name: {"alone": [], "beside": []} for name, _ in settings}
    for round_number in range(arguments.rounds):
        for name, variables in settings:
            speeds[name]["alone"].append(train(program, arguments.steps, variables))
            with Neighbours(arguments.neighbours):
                speeds[name]["beside"].append(train(program, arguments.steps, variables))
            print(f"round {round_number + 1}: {name}: {speeds[name]['alone'][-1]:.1f} clips/s alone, "
                  f"{speeds[name]['beside'][-1]:.1f} beside", file=sys.stderr, flush=True)
    table = []
    for name, variables in settings:
        alone, beside = (statistics.median(speeds[name][kind]) for kind in ("alone", "beside"))
        table.append({"setting": name, "variables": variables, "alone": alone, "beside": beside, "kept": beside / alone,
                      "all": speeds[name]})
    result = {"cores": len(os.sched_getaffinity(0)), "neighbours": arguments.neighbours, "steps": arguments.steps,
              "rounds": arguments.rounds, "settings": table}
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{'setting':<14} {'alone':>9} {'beside':>9} {'kept':>6}   clips/s, medians of {arguments.rounds}")
    for row in table:
        print(f"{row['setting']:<14} {row['alone']:>9.1f} {row['beside']:>9.1f} {row['kept']:>6.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
