#!/usr/bin/env python3
"""Large inputs and long runs: time, memory and open files, measured and held to limits.

Usage: load.py --bin build/ci/bin [--scale S] EXPERIMENT…
Experiments: manifest (2.05 million entries), shards (10,000), long-wav (10 hours), extract (100,000 files), steps (100,000).
--scale 0.01 takes a hundredth of each. Prints a line of JSON for each, and exits with 1 if a limit was missed.
"""

import argparse
import json
import os
import shutil
import struct
import sys
import tempfile
import time
from pathlib import Path

from workspace import NANO, Loss, Process, check, write_tone

MIB = 1 << 20


class Usage:
    """Memory and open files of a process while it runs."""

    def __init__(self, process: Process) -> None:
        self.process, self.samples, self.peak = process, [], 0
        self.begin = time.monotonic()

    def sample(self) -> bool:
        """False once it has ended."""
        try:
            status = Path(f"/proc/{self.process.process.pid}/status").read_text()
            resident = next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0)
            files = len(os.listdir(f"/proc/{self.process.process.pid}/fd"))
            self.peak = max([self.peak, *(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))])
            if resident:
                self.samples.append((time.monotonic() - self.begin, resident, files))
        except FileNotFoundError:
            pass
        return self.process.running()

    def until_end(self, interval: float = 0.05) -> None:
        while self.sample():
            time.sleep(interval)
        check(self.process.wait().code == 0, "failed:", self.process.texts()[1])

    @property
    def seconds(self) -> float:
        return self.samples[-1][0]

    def growth(self) -> tuple[int, int]:
        """Of the second to the last fifth: by how much the most memory grew, and the fewest open files (some are open for a moment)."""
        def part(first: float, last: float) -> tuple[int, int]:
            samples = [s for s in self.samples if first * self.seconds <= s[0] <= last * self.seconds]
            return max(s[1] for s in samples), min(s[2] for s in samples)

        early, late = part(0.2, 0.4), part(0.8, 1.0)
        return late[0] - early[0], late[1] - early[1]


class Load:
    def __init__(self, programs: Path, folder: Path, scale: float) -> None:
        self.programs, self.folder, self.scale = programs, folder, scale

    def scaled(self, number: int) -> int:
        return max(1, round(number * self.scale))

    def start(self, program: str, *arguments: object) -> Process:
        return Process([str(self.programs / program), *(str(argument) for argument in arguments)])

    def pretrain(self, run: str, **changes: object) -> Process:
        keys = {**NANO, **{key.replace("__", "."): value for key, value in changes.items()}, "train.run_dir": self.folder / run}
        return self.start("pretrain", *(f"{key}={value}" for key, value in keys.items()))

    def base(self) -> int:
        """Memory of a run of one step on one small file: LibTorch itself."""
        write_tone(self.folder / "base/x.wav", 300, 3.0)
        usage = Usage(self.pretrain("run-base", data__root=self.folder / "base", optim__global_batch=1, **steps(1)))
        usage.until_end()
        return usage.peak

    def manifest(self) -> dict:
        """Start-up: from the call to the end of the first step."""
        entries = self.scaled(2_050_000)
        for n in range(100):
            write_tone(self.folder / f"audio/part_{n:03}.wav", 200 + 20 * n, 3.0)
        outcome: dict = {"entries": entries, "MiB of LibTorch alone": self.base() // MIB}
        lines = {
            "csv": ["path,id,start_seconds,end_seconds,labels\n"],
            "jsonl": [],
        }
        for n in range(entries):
            lines["csv"].append(f'audio/part_{n % 100:03}.wav,Y{n:011}_{n % 600}000,{n % 20 / 10},{n % 20 / 10 + 1},"/m/09x0r,/m/05zppz"\n')
            lines["jsonl"].append(f'{{"path": "audio/part_{n % 100:03}.wav", "id": "Y{n:011}_{n % 600}000", "start": {n % 20 / 10}, '
                                  f'"duration": 1, "labels": ["/m/09x0r", "/m/05zppz"]}}\n')
        for kind, text in lines.items():
            (self.folder / f"list.{kind}").write_text("".join(text))
        del lines
        for kind in ("csv", "jsonl"):
            usage = Usage(self.pretrain(f"run-{kind}", data__manifest=self.folder / f"list.{kind}", **steps(1)))
            usage.until_end()
            outcome[f"{kind}: seconds"] = round(usage.seconds, 1)
            outcome[f"{kind}: MiB"] = usage.peak // MIB
            check(usage.seconds < 10, kind, "manifest: start-up took", usage.seconds, "s", outcome)
            check(usage.peak < 1000 * MIB, kind, "manifest:", usage.peak // MIB, "MiB", outcome)
        return outcome

    def shards(self) -> dict:
        """A packed set of many shards: the files of a real one, under more names."""
        count = self.scaled(10_000)
        for n in range(20):
            write_tone(self.folder / f"few/{n:02}.wav", 200 + 20 * n, 2.0)
        packed = self.folder / "packed"
        self.start("pack", "--output", packed, f"data.root={self.folder}/few").wait()
        index = json.loads((packed / "pack.json").read_text())
        shard = index["shards"][0]
        for n in range(1, count):
            os.link(packed / shard["file"], packed / f"shard-{n:05}.axs")
        index["shards"] = [{**shard, "file": f"shard-{n:05}.axs"} for n in range(count)]
        index["clips"] *= count
        (packed / "pack.json").write_text(json.dumps(index))
        usage = Usage(self.pretrain("run-shards", data__packed=packed, **steps(200)))
        usage.until_end()
        check(usage.peak < 1500 * MIB, "shards:", usage.peak // MIB, "MiB")
        return {"shards": count, "clips": index["clips"], "seconds of a run of 200 steps": round(usage.seconds, 1),
                "MiB": usage.peak // MIB, "open files": max(sample[2] for sample in usage.samples)}

    def long_wav(self) -> dict:
        seconds = self.scaled(36_000)
        second = struct.pack("<16000h", *(n * 37 % 8000 - 4000 for n in range(16000)))
        data = 32_000 * seconds
        folder = self.folder / "long"
        folder.mkdir()
        with (folder / "hours.wav").open("wb") as file:
            file.write(b"RIFF" + struct.pack("<I", 36 + data) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
                       + b"data" + struct.pack("<I", data))
            for _ in range(seconds):
                file.write(second)
        nano = self.folder / "nano.yaml"
        nano.write_text("model: {size: custom, dim: 16, depth: 2, expansion: 2, patch_frames: 8}\n")
        outcome: dict = {"hours": round(seconds / 3600, 2)}
        extract = ("extract", "--device", "cpu", "--model", f"random:{nano}", "--output")
        for name, most, start in (
            ("extract", 700, lambda: self.start(*extract, self.folder / "e", folder)),
            ("extract, time steps", 700, lambda: self.start(*extract, self.folder / "t", "--kind", "timestamp", "--format", "csv", folder)),
            ("pack", 700, lambda: self.start("pack", "--output", self.folder / "p", f"data.root={folder}")),
            ("pack, log-mel", 700, lambda: self.start("pack", "--output", self.folder / "l", "--format", "logmel16", f"data.root={folder}")),
            ("pretrain", 1536, lambda: self.pretrain("run-long", data__root=folder, optim__global_batch=1, data__workers=1, **steps(5))),
        ):
            usage = Usage(start())
            usage.until_end()
            outcome[f"{name}: seconds"], outcome[f"{name}: MiB"] = round(usage.seconds), usage.peak // MIB
            check(usage.peak < most * MIB, name, "takes", usage.peak // MIB, "MiB for", outcome["hours"], "hours")
        return outcome

    def extract(self) -> dict:
        files = self.scaled(100_000)
        (self.folder / "many").mkdir()
        for n in range(50):
            write_tone(self.folder / f"few/{n:02}.wav", 200 + 20 * n, 0.3 + n / 50)
        for n in range(files):
            (self.folder / f"many/{n // 1000:03}").mkdir(exist_ok=True)
            os.link(self.folder / f"few/{n % 50:02}.wav", self.folder / f"many/{n // 1000:03}/{n:06}.wav")
        nano = self.folder / "nano.yaml"
        nano.write_text("model: {size: custom, dim: 16, depth: 1, expansion: 2, patch_frames: 8}\n")
        usage = Usage(self.start("extract", "--device", "cpu", "--model", f"random:{nano}", "--output", self.folder / "e", self.folder / "many"))
        usage.until_end(0.5)
        memory, handles = usage.growth()
        written = sum(1 for _ in (self.folder / "e").rglob("*.npy"))
        check(written == files, written, "embeddings of", files, "files")
        check(memory < 64 * MIB and handles <= 0, "memory grew by", memory // MIB, "MiB, open files by", handles)
        return {"files": files, "seconds": round(usage.seconds), "MiB": usage.peak // MIB, "growth in MiB": round(memory / MIB, 1),
                "growth in open files": handles}

    def steps(self) -> dict:
        count = self.scaled(100_000)
        for n in range(40):
            write_tone(self.folder / f"audio/{n:02}.wav", 200 + 20 * n, 2.0)
        usage = Usage(self.pretrain("run", data__root=self.folder / "audio", model__depth=1, model__frames=40, optim__global_batch=2,
                                    data__workers=1, train__save_every_steps=500, train__log_every_steps=100,
                                    train__picture_every_steps=5000, optim__epochs=count / 20, train__ema_decay=0.99))
        usage.until_end(0.5)
        memory, handles = usage.growth()
        records = (self.folder / "run/metrics.jsonl").read_text().count("\n")
        check(records == count, records, "records of", count, "steps")
        check(memory < 64 * MIB and handles <= 0, "memory grew by", memory // MIB, "MiB, open files by", handles)
        return {"steps": count, "checkpoints": count // 500, "seconds": round(usage.seconds), "MiB": usage.peak // MIB,
                "growth in MiB": round(memory / MIB, 1), "growth in open files": handles}


def steps(count: int) -> dict:
    return {"optim__epochs": 100000, "train__max_steps": count, "train__picture_every_steps": 100000, "train__ema_decay": 0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="where 10 GB are free")
    names = {"manifest": Load.manifest, "shards": Load.shards, "long-wav": Load.long_wav, "extract": Load.extract, "steps": Load.steps}
    parser.add_argument("experiments", nargs="+", choices=names)
    arguments = parser.parse_args()
    missed = 0
    for name in arguments.experiments:
        folder = Path(tempfile.mkdtemp(prefix="axlstm-load-", dir=arguments.scratch))
        try:
            outcome = names[name](Load(arguments.bin.resolve(), folder, arguments.scale))
        except Loss as loss:
            missed += 1
            outcome = {"missed": str(loss)}
        finally:
            shutil.rmtree(folder)
        print(json.dumps({"experiment": f"load-{name}", **outcome}), flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
