"""Embeds HEAR tasks by any module with HEAR's common API, in the official layout, for `hear-eval`.

    python -m axlstm.hear MODULE TASK... OUTPUT [--model PATH] [--device cuda] [--batch 16] [--rate HZ]

MODULE is imported (torchopenl3, panns_hear, hearbaseline.wav2vec2, axlstm, …); TASK is a task folder or a folder of such.
OUTPUT/TASK holds what the official runner writes (and embeddings-source.json). A run that was killed goes on with the same
command; tasks that are finished are left as they are. Modules for TensorFlow are not taken.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from axlstm import _library  # noqa: F401 (registers what follows)

_METADATA = "task_metadata.json"


def tasks_in(paths: list[Path]) -> list[Path]:
    """The task folders that paths name, or hold."""
    found = []
    for path in paths:
        inside = [path] if (path / _METADATA).is_file() else sorted(file.parent for file in path.glob(f"*/{_METADATA}"))
        if not inside:
            raise FileNotFoundError(f"{path}: is no HEAR task and holds none ({_METADATA} is not there)")
        found += inside
    return found


def check_module(module: ModuleType) -> None:
    """Raises TypeError naming the functions of HEAR's common API that are missing."""
    needed = ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")
    missing = [name for name in needed if not callable(getattr(module, name, None))]
    if missing:
        raise TypeError(f"{module.__name__} lacks {', '.join(missing)} of HEAR's common API")


def of_one_length(waveforms: list[Tensor]) -> Iterator[tuple[int, Tensor]]:
    """Neighbours of one length together [n, samples], with the first one's number: nothing is padded."""
    first = 0
    while first < len(waveforms):
        end = first + 1
        while end < len(waveforms) and len(waveforms[end]) == len(waveforms[first]):
            end += 1
        yield first, torch.stack(waveforms[first:end])
        first = end


def embed_task(
    module: ModuleType,
    model: torch.nn.Module,
    task: Path,
    output: Path,
    *,
    device: str = "cpu",
    batch: int = 16,
    rate: int | None = None,
    source: str = "",
) -> int:
    """Embeds one task; returns the number of files that were. `rate`: of the task's folder to read, model.sample_rate
    unless given; its audio is brought to the model's. Raises RuntimeError naming the file, folder or shape at fault."""
    metadata = json.loads((task / _METADATA).read_text())
    is_scene = metadata["embedding_type"] == "scene"
    wanted = int(model.sample_rate)
    writer = torch.classes.axlstm.TaskWriter(str(task), str(output), rate or wanted, batch, source)
    done = 0
    while files := writer.next():
        waveforms = [torch.ops.axlstm.decode(file, wanted)[0] for file in files]
        embeddings: list[Tensor] = []
        times: list[Tensor] = []
        for first, audio in of_one_length(waveforms):
            audio = audio.to(device)
            try:
                with torch.no_grad():
                    if is_scene:
                        found, stamps = module.get_scene_embeddings(audio, model), torch.empty(len(audio), 0)
                    else:
                        found, stamps = module.get_timestamp_embeddings(audio, model)
            except Exception as reason:
                raise RuntimeError(f"{files[first]}: {module.__name__} fails on it: {reason}") from reason
            if len(found) != len(audio) or len(stamps) != len(audio):
                raise RuntimeError(
                    f"{files[first]}: {module.__name__} gives {len(found)} embeddings and times for {len(stamps)} of {len(audio)} clips"
                )
            embeddings += found.float().cpu().unbind()
            times += stamps.double().cpu().unbind()
        writer.give(embeddings, times)
        done += len(files)
    return done


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m axlstm.hear", description=__doc__.splitlines()[0])
    parser.add_argument("module", help="Python module with HEAR's common API")
    parser.add_argument("paths", nargs="+", type=Path, metavar="TASK... OUTPUT", help="task folders, or folders of them; last the folder to write to")
    parser.add_argument("--model", default="", help="given to load_model: a file or folder of weights")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=16, help="files of one call, if they are of one length")
    parser.add_argument("--rate", type=int, help="folder of the task to read where that of the model's rate is missing")
    options = parser.parse_args(arguments)
    *paths, output = options.paths
    if not paths:
        parser.error("name a task and the folder to write to")
    if options.batch < 1:
        parser.error(f"--batch is {options.batch}, it must be at least 1")
    try:
        tasks = tasks_in(paths)
        module = importlib.import_module(options.module)
        check_module(module)
        model = module.load_model(options.model)
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"{options.module}.load_model gives a {type(model).__name__}, it must be a torch.nn.Module")
        model = model.to(options.device).eval()
        source = getattr(model, "description", "") or " ".join(filter(None, (options.module, options.model)))
        for task in tasks:
            done = embed_task(module, model, task, output, device=options.device, batch=options.batch, rate=options.rate, source=source)
            print(f"{output / task.name}: {f'{done} files embedded' if done else 'is there'}", flush=True)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as reason:
        print(f"axlstm.hear: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
