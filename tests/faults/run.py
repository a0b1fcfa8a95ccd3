#!/usr/bin/env python3
"""Injects faults into the programs and compares what they leave with what an unbroken run leaves.

Usage: run.py --bin build/ci/bin --shim build/ci/tests/libaxlstm_fault_shim.so [--count N] [--jobs N] EXPERIMENT…
Experiments: kill-PROGRAM, full-PROGRAM, read-only-PROGRAM (pretrain, pack, extract, hear-eval, sweep), metrics, no-flush, read-error, damage,
ranks, signals, two-processes, clock, locales, numbers, no-gpu, full-output. --count: kills; or writes refused, tensors damaged
(of all that there are; 0: all). --jobs: number of faults at a time, each in its own folder. Prints a line of JSON for each, and
exits with 1 if a promise was broken.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import damage
import disk
import kill
import limits
import processes
from recipes import RECIPES
from workspace import Loss, Workspace


def experiments(count: int | None) -> dict:
    limit = count if count != 0 else None
    table = {
        "no-flush": disk.no_flush, "metrics": disk.check_metrics_after_full_disk, "read-error": disk.read_error,
        "damage": lambda space: damage.damage(space, limit), "ranks": lambda space: processes.ranks(space, count or 10),
        "signals": processes.signals, "two-processes": processes.two_processes, "clock": processes.clock_back,
        "locales": limits.locales, "numbers": limits.numbers, "no-gpu": limits.no_gpu, "full-output": limits.full_output,
    }
    for program in RECIPES:
        table[f"kill-{program}"] = lambda space, program=program: kill.kill(space, program, count or 50)
        table[f"full-{program}"] = lambda space, program=program: disk.disk_full(space, program, limit)
        table[f"read-only-{program}"] = lambda space, program=program: disk.read_only(space, program)
    return table


def is_divisible(experiment: str) -> bool:
    """Whether its faults are many and independent of each other."""
    return experiment.startswith(("kill-", "full-")) and experiment != "full-output" or experiment == "damage"


def inject(name: str, run, space: Workspace) -> dict:
    begin = time.monotonic()
    outcome = {"experiment": name, "faults": 0, "losses": 0}
    try:
        found = run(space)
        outcome.update(found if isinstance(found, dict) else {"faults": found})
    except Loss as loss:
        outcome["losses"] = 1
        print(f"{name}: {loss}", file=sys.stderr)
    except (OSError, ValueError, KeyError):  # a file that should be there, or cannot be read
        outcome["losses"] = 1
        print(f"{name}: {traceback.format_exc()}", file=sys.stderr)
    outcome["seconds"] = round(time.monotonic() - begin)
    return outcome


def inject_in_parts(names: list[str], jobs: int) -> int:
    """Runs this program for each part; prints what the parts of an experiment found together. Returns the losses."""
    def run_part(name: str, part: int, parts: int) -> dict:
        command = [sys.executable, "-B", *sys.argv[:1], *sys.argv[1:-len(names)], "--jobs", "1", "--part", f"{part}/{parts}", name]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        try:
            return json.loads(ended.stdout)
        except ValueError:
            return {"experiment": name, "faults": 0, "losses": 1, "seconds": 0}

    losses = 0
    with ThreadPoolExecutor(jobs) as pool:
        running = [(name, [pool.submit(run_part, name, part, parts) for part in range(parts)])
                   for name in names for parts in [jobs if is_divisible(name) else 1]]
        for name, parts in running:
            found = [part.result() for part in parts]
            outcome = {"experiment": name, "faults": sum(part["faults"] for part in found),
                       "losses": sum(part["losses"] for part in found)}
            if "writes" in found[0]:
                outcome["writes"] = max(part.get("writes", 0) for part in found)
            outcome["seconds"] = max(part["seconds"] for part in found)
            losses += outcome["losses"]
            print(json.dumps(outcome), flush=True)
    return losses


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--shim", type=Path, required=True)
    parser.add_argument("--count", type=int)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--part", default="0/1", help=argparse.SUPPRESS)  # K/N: of --jobs
    parser.add_argument("experiments", nargs="+")
    arguments = parser.parse_args()
    table = experiments(arguments.count)
    unknown = [name for name in arguments.experiments if name not in table]
    if unknown:
        parser.error(f"no experiment is called {', '.join(unknown)}; there are {', '.join(sorted(table))}")
    if arguments.jobs > 1:
        return 1 if inject_in_parts(arguments.experiments, arguments.jobs) else 0
    part, parts = (int(number) for number in arguments.part.split("/"))
    losses = 0
    with tempfile.TemporaryDirectory(prefix="axlstm-faults-") as scratch:
        space = Workspace(arguments.bin.resolve(), arguments.shim.resolve(), Path(scratch) / "w", part, parts)
        for name in arguments.experiments:
            outcome = inject(name, table[name], space)
            losses += outcome["losses"]
            print(json.dumps(outcome), flush=True)
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
