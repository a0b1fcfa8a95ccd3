#!/usr/bin/env python3
"""Injects faults into the programs and compares what they leave with what an unbroken run leaves.

Usage: run.py --bin build/ci/bin --shim build/ci/tests/libaxlstm_fault_shim.so [--count N] EXPERIMENT…
Experiments: kill-PROGRAM, full-PROGRAM, read-only-PROGRAM (pretrain, pack, extract, hear-eval, sweep), metrics, read-error, damage,
ranks, signals, two-processes, clock, locales, numbers, no-gpu, full-output. --count: kills; or writes refused, tensors damaged
(of all that there are; 0: all). Prints a line of JSON for each, and exits with 1 if a promise was broken.
"""

import argparse
import json
import sys
import tempfile
import time
import traceback
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
        "metrics": disk.check_metrics_after_full_disk, "read-error": disk.read_error,
        "damage": lambda space: damage.damage(space, limit), "ranks": lambda space: processes.ranks(space, count or 10),
        "signals": processes.signals, "two-processes": processes.two_processes, "clock": processes.clock_back,
        "locales": limits.locales, "numbers": limits.numbers, "no-gpu": limits.no_gpu, "full-output": limits.full_output,
    }
    for program in RECIPES:
        table[f"kill-{program}"] = lambda space, program=program: kill.kill(space, program, count or 50)
        # A sweep makes hundreds of writes, most of them those of the programs that it starts.
        some = 20 if program == "sweep" and count is None else limit
        table[f"full-{program}"] = lambda space, program=program, some=some: disk.disk_full(space, program, some)
        table[f"read-only-{program}"] = lambda space, program=program: disk.read_only(space, program)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--shim", type=Path, required=True)
    parser.add_argument("--count", type=int)
    parser.add_argument("experiments", nargs="+")
    arguments = parser.parse_args()
    table = experiments(arguments.count)
    unknown = [name for name in arguments.experiments if name not in table]
    if unknown:
        parser.error(f"no experiment is called {', '.join(unknown)}; there are {', '.join(sorted(table))}")
    losses = 0
    with tempfile.TemporaryDirectory(prefix="axlstm-faults-") as scratch:
        space = Workspace(arguments.bin.resolve(), arguments.shim.resolve(), Path(scratch) / "w")
        for name in arguments.experiments:
            begin = time.monotonic()
            outcome = {"experiment": name, "faults": 0, "losses": 0}
            try:
                found = table[name](space)
                outcome.update(found if isinstance(found, dict) else {"faults": found})
            except Loss as loss:
                outcome["losses"] = 1
                print(f"{name}: {loss}", file=sys.stderr)
            except (OSError, ValueError, KeyError):  # a file that should be there, or cannot be read
                outcome["losses"] = 1
                print(f"{name}: {traceback.format_exc()}", file=sys.stderr)
            outcome["seconds"] = round(time.monotonic() - begin)
            losses += outcome["losses"]
            print(json.dumps(outcome), flush=True)
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
