"""Times `extract`, end to end, on clips of ten seconds: one JSON record a row.

Usage: extract_bench.py --bin BUILD/bin [--other OTHER/bin] [--models axlstm-tiny-E3,…] [--parts files,shards]
                        [--clips 4000] [--kind scene] [--device cuda] [--precision auto] [--output extract.jsonl]

Clips are noise, written as 16-bit WAVs into a temporary folder (so they are in the page cache). `files` embeds them,
`shards` what `pack` made of them, as samples and as log-mel (`extract --packed`; packing is not timed). Weights are random: speed does not depend on them. What starting takes, with one clip, is subtracted: the shortest of all rounds from the shortest. --other names
another build's programs, timed in turn with these; its options must be those of this script's version or older
(--precision is not given to it).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy

RATE, SECONDS, CHUNK = 16000, 10, 2
SIZES = {"tiny", "small", "base"}
MODELS = {"axlstm": ["arch: axlstm"], "ssam": ["arch: ssam"], "ssast": ["arch: ssast"],
                "mae": ["arch: mae", "activation: gelu_tanh"], "mwmae": ["arch: mae", "activation: gelu_tanh", "class_token: false"]}
ENCODINGS = ("pcm16", "logmel16")


def write_clips(folder: Path, count: int) -> None:
    """`count` WAVs of noise, a hundred a folder."""
    draw = numpy.random.default_rng(0)
    noise = (draw.standard_normal(RATE * SECONDS * 4) * 3000).astype(numpy.int16)
    for n in range(count):
        path = folder / f"{n // 100:04d}" / f"{n:06d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        start = int(draw.integers(0, len(noise) - RATE * SECONDS))
        with wave.open(str(path), "wb") as out:
            out.setparams((1, 2, RATE, 0, "NONE", ""))
            out.writeframes(noise[start:start + RATE * SECONDS].tobytes())


def configuration(folder: Path, model: str) -> Path:
    """A file for random: weights of "axlstm-tiny-E3", "ssam-small", "ssast-base" or "mwmae-tiny"."""
    name, size, *expansion = model.split("-")
    if name not in MODELS or size not in SIZES:
        sys.exit(f"--models: {model} is none of axlstm-SIZE-E2, axlstm-SIZE-E3, ssam-SIZE, ssast-SIZE, mae-SIZE, mwmae-SIZE; "
                 "SIZE is tiny, small or base")
    keys = [*MODELS[name], f"size: {size}"] + [f"expansion: {int(each[1:])}" for each in expansion]
    path = folder / f"{model}.yaml"
    path.write_text("model:\n" + "".join(f"  {key}\n" for key in keys))
    return path


def run(command: list[str], output: Path) -> float:
    """Seconds that a command takes; its output folder is new each time."""
    shutil.rmtree(output, ignore_errors=True)
    start = time.monotonic()
    done = subprocess.run([*command, "--output", str(output), "--quiet"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return time.monotonic() - start


def inputs(folder: Path, programs: Path, parts: list[str]) -> dict[str, tuple[list[str], list[str]]]:
    """By the name of what is embedded: the arguments for all clips, and for one."""
    found = {}
    if "files" in parts:
        found["files"] = ([str(folder / "clips")], [str(folder / "one")])
    for encoding in ENCODINGS if "shards" in parts else ():
        for clips in ("clips", "one"):
            run([str(programs / "pack"), "--format", encoding, f"data.root={folder / clips}"], folder / f"{clips}-{encoding}")
        found[encoding] = (["--packed", str(folder / f"clips-{encoding}")], ["--packed", str(folder / f"one-{encoding}")])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--models", default="axlstm-tiny-E3,ssast-tiny,axlstm-base-E3,ssast-base")
    parser.add_argument("--parts", default="files", help="files, shards or both with a comma between")
    parser.add_argument("--clips", type=int, default=4000)
    parser.add_argument("--kind", default="scene", choices=["scene", "timestamp"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    if not set(parts) <= {"files", "shards"}:
        parser.error(f"--parts: {arguments.parts} is none of files, shards, files,shards")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_clips(folder / "clips", arguments.clips)
        write_clips(folder / "one", 1)
        of_parts = inputs(folder, arguments.bin, parts)
        builds = {"this": arguments.bin} | ({"other": arguments.other} if arguments.other else {})
        for model in arguments.models.split(","):
            config = configuration(folder, model)
            for source, (all_clips, one_clip) in of_parts.items():
                starts: dict[str, list[float]] = {name: [] for name in builds}
                wholes: dict[str, list[float]] = {name: [] for name in builds}
                for _ in range(arguments.rounds):
                    for name, programs in builds.items():
                        command = [str(programs / "extract"), "--model", f"random:{config}", "--device", arguments.device]
                        command += ["--kind", arguments.kind] + ["--precision", arguments.precision] * (name == "this")
                        starts[name].append(run([*command, *one_clip], folder / "out"))
                        wholes[name].append(run([*command, *all_clips], folder / "out"))
                # The shortest start: one that was slow by chance would count as embedding done.
                rates = {name: arguments.clips * SECONDS / CHUNK / (min(wholes[name]) - min(starts[name])) for name in builds}
                record = {"model": model, "device": arguments.device, "precision": arguments.precision, "part": "end_to_end",
                          "source": source, "kind": arguments.kind, "clips": arguments.clips,
                          "cores": len(os.sched_getaffinity(0)), "chunks_per_second": round(rates["this"], 1)}
                if "other" in rates:
                    record |= {"other_chunks_per_second": round(rates["other"], 1),
                               "ratio_to_other": round(rates["this"] / rates["other"], 2)}
                line = json.dumps(record)
                print(line, flush=True)
                if arguments.output:
                    with arguments.output.open("a", encoding="utf-8") as out:
                        out.write(line + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
