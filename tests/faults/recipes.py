"""The five programs at work: what to call, what must come out to the last bit, and what whole files look like."""

import json
import struct
from pathlib import Path

from workspace import NANO, Workspace, check, files_in, xxh3, yaml_of


class Recipe:
    name = ""

    def __init__(self, space: Workspace, small: bool = False) -> None:
        """`small`: as few writes as show every kind of them."""
        self.space, self.small = space, small

    def command(self, output: Path) -> list[str]:
        raise NotImplementedError

    def result(self, output: Path) -> dict[str, object]:
        """What an unbroken run and one that was not must have in common."""
        raise NotImplementedError

    def check_whole(self, output: Path) -> None:
        """Fails if something under its final name is only half there."""


class Pretrain(Recipe):
    name = "pretrain"

    def command(self, output: Path) -> list[str]:
        return self.space.pretrain(output, **({"train__max_steps": 12} if self.small else {}))

    def result(self, output: Path) -> dict[str, object]:
        records = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
        curve = [[record[key] for key in ("step", "epoch", "loss", "lr", "grad_norm")] for record in records]
        newest = sorted((output / "checkpoints").glob("step-*"))[-1]
        names = ("model.safetensors", "optimizer.safetensors", "ema.safetensors")
        return {"curve": curve, "newest": newest.name, **{name: (newest / name).read_bytes() for name in names}}

    def check_whole(self, output: Path) -> None:
        for folder in (output / "checkpoints").glob("step-*"):
            for name, record in json.loads((folder / "state.json").read_text())["files"].items():
                content = (folder / name).read_bytes()
                check(len(content) == record["bytes"] and xxh3(content) == record["xxh3"], folder / name, "is not whole")
        for picture in (output / "pictures").glob("*.png"):
            check(picture.read_bytes().endswith(b"IEND\xaeB`\x82"), picture, "is not whole")


class Pack(Recipe):
    name = "pack"

    def command(self, output: Path) -> list[str]:
        return self.space.command("pack", "--output", output, "--shard-mb", 1, "data.workers=2",
                                  f"data.root={self.space.folder / ('audio' if self.small else 'more')}")

    def result(self, output: Path) -> dict[str, object]:
        return dict(files_in(output))

    def check_whole(self, output: Path) -> None:
        for shard in output.glob("shard-*.axs"):
            check(shard.read_bytes().endswith(b"AXLSHRD2"), shard, "is not whole")
        for index in output.glob("pack.json"):
            json.loads(index.read_text())


class Extract(Recipe):
    name = "extract"

    def command(self, output: Path) -> list[str]:
        folder = self.space.folder
        return self.space.command("extract", "--model", f"random:{folder}/nano.yaml", "--device", "cpu", "--batch-seconds", 5,
                                  "--output", output, folder / ("audio/tone11.wav" if self.small else "more"), folder / "pitch-v1-full")

    def result(self, output: Path) -> dict[str, object]:
        # Paths of the output folder are in it.
        return {name: data.replace(str(output).encode(), b"") for name, data in files_in(output).items()}

    def check_whole(self, output: Path) -> None:
        for array in output.glob("*.npy"):
            data = array.read_bytes()
            header = struct.unpack("<H", data[8:10])[0]
            count = int(data[10:10 + header].split(b"'shape': (")[1].split(b",")[0])
            check(len(data) == 10 + header + 4 * count, array, "is not whole")
        task = output / "pitch-v1-full"
        if task.exists():
            for split in ("train", "valid", "test"):
                rows, width = json.loads((task / f"{split}.embedding-dimensions.json").read_text())
                array = task / f"{split}.embeddings.npy"
                check(array.stat().st_size == 4 * rows * width, array, "is not whole")


class HearEval(Recipe):
    name = "hear-eval"

    def command(self, output: Path) -> list[str]:
        return self.space.command("hear-eval", "--seeds", 2 if self.small else 8, "--jobs", 2, "--grid", "faster", "--grid-points", 2, "--output",
                                  output, self.space.folder / "embeddings/nano/pitch-v1-full")

    def result(self, output: Path) -> dict[str, object]:
        files = {name: data for name, data in files_in(output).items() if not name.endswith("prediction-done.json")}
        for name, data in files.items():
            if name.endswith("scores.json"):
                scores = json.loads(data)
                del scores["test"]["time_in_min"], scores["embedding_path"]
                files[name] = scores
        return files

    def check_whole(self, output: Path) -> None:
        for path in output.rglob("*.json"):
            json.loads(path.read_text())
        for path in output.rglob("*.pkl"):
            check(path.read_bytes().endswith(b"."), path, "is not whole")


class Sweep(Recipe):
    name = "sweep"

    def command(self, output: Path) -> list[str]:
        folder = self.space.folder
        (folder / "sweep-base.yaml").write_text(yaml_of({**NANO, "data.root": folder / "audio"}))
        (folder / "sweep.yaml").write_text(
            "sweep: {base: sweep-base.yaml, title: Nano, columns: [model.expansion]}\n"
            "cells:\n  - {name: E 2, set: {model.expansion: 2}}\n  - {name: untrained, model: untrained}\n"
            f"hear: {{tasks: {json.dumps([f'{folder}/pitch-v1-full'])}, grid: faster, grid_points: 1, seeds: 2, per_file: false}}\n")
        return self.space.command("sweep", "--config", folder / "sweep.yaml", f"sweep.output={output}")

    def result(self, output: Path) -> dict[str, object]:
        return {"report": (output / "report/report.csv").read_text()}

    def check_whole(self, output: Path) -> None:
        for path in [*output.rglob("*.done"), *output.rglob("prediction-done.json")]:
            json.loads(path.read_text())
        for cell in (output / "cells").glob("*"):
            Pretrain(self.space).check_whole(cell)


RECIPES = {recipe.name: recipe for recipe in (Pretrain, Pack, Extract, HearEval, Sweep)}
