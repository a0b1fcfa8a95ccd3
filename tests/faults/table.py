#!/usr/bin/env python3
"""Lines of JSON and of fuzz.sh (results of scripts/reliability.sh) → the table of docs/reliability.md.

Usage: table.py RESULTS
"""

import json
import re
import sys
from pathlib import Path

PROGRAMS = ("pretrain", "pack", "extract", "hear-eval", "sweep")
RERUN = "no incomplete file counts as complete, and the same command ends with the result of an unbroken run"
PROMISES = {
    **{f"kill-{program}": f"`{program}` killed (SIGKILL) at random moments: {RERUN}" for program in PROGRAMS},
    **{f"full-{program}": f"Disk full in `{program}`, at every write, once and permanently: the file and the reason are named, {RERUN}"
       for program in PROGRAMS},
    **{f"read-only-{program}": f"Read-only output of `{program}`: reported, and nothing is changed" for program in PROGRAMS},
    "metrics": "Disk full for a while: no record of `metrics.jsonl` is lost",
    "no-flush": "File systems that cannot flush files or folders (EINVAL, ENOTSUP …): one warning, the run goes on; EIO is a failure",
    "read-error": "Reading fails (EIO) in shards, sound files, lists, embeddings, checkpoints: the file is named; clips are replaced as "
                  "`data.max_bad_fraction` allows",
    "damage": "A checkpoint cut at the boundary of each tensor, one bit of each tensor flipped: the tensor is named, the run goes on from the "
              "checkpoint before",
    "ranks": f"One of two ranks killed: named, all end, {RERUN}",
    "signals": "Ctrl-C once saves (75), twice leaves at once; signals before ranks are ready, and ranks that do not answer",
    "two-processes": "Two processes on one output: the second is refused, the first ends as if alone",
    "clock": "The clock set back by a day, in a run and between two: the same result, TensorBoard reads files in order",
    "locales": "Spaces, quotes and other scripts in paths, decimal commas: the same results",
    "numbers": "NaN in a sound file, numbers that are not finite in a step: the clip is named",
    "no-gpu": "No GPU or no driver: the reference path with a warning",
    "full-output": "Results that cannot be printed count as a failure",
    "load-manifest": "2.05 million entries: first step within 10 s and 1 GB",
    "load-shards": "10,000 shards",
    "load-long-wav": "A WAV of 10 hours in constant memory: `extract` and `pack` within 700 MiB, `pretrain` within 1,536",
    "load-extract": "100,000 files through `extract` at constant memory",
    "load-steps": "100,000 steps without growth of memory or open files",
}


def row(promise: str, name: str, figure: str, losses: object) -> str:
    return f"| {promise} | `scripts/reliability.sh {name}` | {figure} | {losses} |"


def main() -> int:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print("| promise | test | figure | losses |\n| --- | --- | --- | --- |")
    for line in Path(sys.argv[1]).read_text().splitlines():
        fuzz = re.fullmatch(r"fuzz (\S+) executions=(\d+)(?: crashes=(\d+))?.*", line)
        if fuzz:
            what = "all parsers" if fuzz[1] == "total" else f"`{fuzz[1]}`"
            print(row(f"Any input to {what}: an error or a result", "fuzz", f"{int(fuzz[2]):,} inputs", fuzz[3] or ""))
        elif line.startswith("{"):
            result = json.loads(line)
            name = result["experiment"]
            if "missed" in result:
                figure, losses = "missed: " + result["missed"].replace("\n", " ")[:200], 1
            elif "faults" in result:
                places = f" at {result['faults'] // 2} of {result['writes']} writes" if "writes" in result else ""
                figure, losses = f"{result['faults']} faults{places}, {result['seconds']} s", result["losses"]
            else:
                figure = ", ".join(f"{key} {value:,}" for key, value in result.items() if key != "experiment")
                losses = 0
            print(row(PROMISES[name], name, figure, losses))
    return 0


if __name__ == "__main__":
    sys.exit(main())
