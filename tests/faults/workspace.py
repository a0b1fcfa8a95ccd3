"""What the fault tests share: made-up data, the programs at work on it, and what must be true of them whatever happens."""

import array
import ctypes
import json
import math
import os
import random
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import wave
from dataclasses import dataclass
from pathlib import Path

TRACES = ("terminate called", "Aborted", "Segmentation", "Exception raised from", "what():", "core dumped", "Sanitizer")
NANO = {
    "model.size": "custom", "model.dim": 16, "model.depth": 2, "model.expansion": 2, "model.patch_frames": 8,
    "optim.epochs": 12, "optim.warmup_epochs": 2, "optim.global_batch": 4, "optim.base_lr": 1,
    "train.device": "cpu", "train.threads": 1, "train.save_every_steps": 5, "train.log_every_steps": 5,
    "train.picture_every_steps": 18, "train.ema_decay": 0.9, "data.workers": 2,
}


class Loss(Exception):
    """A promise that was not kept."""


def check(condition: object, *what: object) -> None:
    if not condition:
        raise Loss(" ".join(str(part) for part in what))


@dataclass
class Ended:
    code: int  # negative: minus the signal
    out: str
    err: str


class Process:
    """A program in a process group of its own."""

    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        self.command, self.files = command, [tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.files[0], stderr=self.files[1], start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},  # many run at once on few cores
        )

    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int, whole_group: bool = False) -> None:
        try:
            (os.killpg if whole_group else os.kill)(self.process.pid, number)
        except ProcessLookupError:
            pass  # it ended by itself

    def children(self) -> list[int]:
        try:
            return [int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()]
        except FileNotFoundError:
            return []

    def wait(self, seconds: float = 300) -> Ended:
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL, whole_group=True)
            self.process.wait()
            raise Loss(f"hangs: {' '.join(self.command)}\n{self.texts()[1]}") from None
        out, err = self.texts()
        for trace in TRACES:
            check(trace not in err, f"'{trace}' in the messages of {' '.join(self.command)}:\n{err}")
        check(code >= 0 or code in (-signal.SIGKILL, -signal.SIGINT), "ended by signal", -code, *self.command, "\n", err)
        return Ended(code, out, err)

    def texts(self) -> list[str]:
        texts = []
        for file in self.files:
            file.seek(0)
            texts.append(file.read())
        return texts


def wait_until(condition, process: Process, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        check(process.running(), "ended too early:", process.texts()[1])
        check(time.monotonic() < end, "waited in vain for", *process.command)
        time.sleep(0.005)


class Workspace:
    """A folder with audio, a HEAR task, embeddings and packed clips, and the five programs' recipes."""

    def __init__(self, programs: Path, shim: Path, folder: Path, part: int = 0, parts: int = 1) -> None:
        """`part` of `parts` of an experiment: share() says which faults are its own."""
        self.programs, self.shim, self.folder, self.part, self.parts = programs, shim, folder, part, parts
        self.random = random.Random(20 + part)
        self.outputs = 0
        folder.mkdir(parents=True)
        for n in range(12):
            write_tone(folder / "audio" / f"tone{n:02}.wav", 200 + 150 * n, 0.5 + 0.25 * n)
        for n in range(40):
            write_tone(folder / "more" / f"long{n:02}.wav", 300 + 40 * n, 5.0)
        self.write_task(folder / "pitch-v1-full")
        (folder / "nano.yaml").write_text(yaml_of({**NANO, "data.root": folder / "audio"}))
        self.expect(self.command("pack", "--output", folder / "packed", "--shard-mb", 1, f"data.root={folder}/more"))
        self.expect(self.command("extract", "--model", f"random:{folder}/nano.yaml", "--device", "cpu", "--output",
                                 folder / "embeddings/nano", folder / "pitch-v1-full"))

    def share(self, faults: list) -> list:
        return faults[self.part :: self.parts]

    def write_task(self, task: Path) -> None:
        for split in ("train", "valid", "test"):
            labels = {}
            for n in range(6):
                low = n % 2
                write_tone(task / "16000" / split / f"{n}.wav", 200 + 20 * n if low else 3000 + 50 * n, 1.0)
                labels[f"{n}.wav"] = ["low" if low else "high"]
            (task / f"{split}.json").write_text(json.dumps(labels))
        (task / "labelvocabulary.csv").write_text("idx,label\n0,high\n1,low\n")
        (task / "task_metadata.json").write_text(json.dumps({
            "task_name": "pitch", "version": "v1", "mode": "full", "embedding_type": "scene", "split_mode": "trainvaltest",
            "prediction_type": "multiclass", "splits": ["train", "valid", "test"], "sample_duration": 1.0,
            "evaluation": ["top1_acc"]}))

    def command(self, program: str, *arguments: object) -> list[str]:
        return [str(self.programs / program), *(str(argument) for argument in arguments)]

    def pretrain(self, run: Path, *more: object, **changes: object) -> list[str]:
        keys = {**NANO, "data.root": self.folder / "audio", "train.run_dir": run}
        keys.update({key.replace("__", "."): value for key, value in changes.items()})
        return self.command("pretrain", *more, *(f"{key}={value}" for key, value in keys.items()))

    def run(self, command: list[str], environment: dict[str, str] | None = None, seconds: float = 300) -> Ended:
        return Process(command, environment).wait(seconds)

    def expect(self, command: list[str], code: int = 0, *parts: object, environment: dict[str, str] | None = None) -> Ended:
        ended = self.run(command, environment)
        check(ended.code == code, "exit code", ended.code, "instead of", code, "of", *command, "\n", ended.err)
        for part in parts:
            check(str(part) in ended.err + ended.out, f"no '{part}' in the messages of", *command, "\n", ended.err)
        return ended

    def output(self) -> Path:
        """A folder's name that is not taken; the folder of the output before last is gone then."""
        self.outputs += 1
        shutil.rmtree(self.folder / f"out{self.outputs - 2}", ignore_errors=True)
        return self.folder / f"out{self.outputs}"

    def fault(self, kind: str, path: Path, first: int = 1, calls: int | None = None, offset: int | None = None,
              program: str | None = None, number: int | None = None) -> dict[str, str]:
        """The environment in which calls to `path` (of `program` alone) fail from the first-th on; they are counted in calls().
        `number`: the error of no-flush."""
        counter = self.folder / "calls"
        counter.write_bytes(bytes(8))
        environment = {"LD_PRELOAD": self.shim, "AXLSTM_FAULT_KIND": kind, "AXLSTM_FAULT_PATH": path,
                       "AXLSTM_FAULT_FIRST": first, "AXLSTM_FAULT_COUNTER": counter}
        if calls is not None:
            environment["AXLSTM_FAULT_CALLS"] = calls
        if offset is not None:
            environment["AXLSTM_FAULT_OFFSET"] = offset
        if number is not None:
            environment["AXLSTM_FAULT_ERRNO"] = number
        if program is not None:
            environment["AXLSTM_FAULT_PROGRAM"] = program
        return {name: str(value) for name, value in environment.items()}

    def calls(self) -> int:
        return struct.unpack("<q", (self.folder / "calls").read_bytes())[0]


def yaml_of(keys: dict[str, object]) -> str:
    sections: dict[str, dict[str, object]] = {}
    for key, value in keys.items():
        section, name = key.split(".")
        sections.setdefault(section, {})[name] = value
    return "".join(f"{section}: {json.dumps({n: str(v) if isinstance(v, Path) else v for n, v in values.items()})}\n"
                   for section, values in sections.items())


def write_tone(path: Path, hertz: float, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        times = [n / 16000 for n in range(16000)]
        second = array.array("h", (round(6000 * math.sin(2 * math.pi * hertz * t) * (1 + math.sin(5 * t))) for t in times))
        file.writeframes((second * math.ceil(seconds))[:int(seconds * 16000)].tobytes())


def xxh3(data: bytes) -> str:
    library = ctypes.CDLL("libxxhash.so.0")  # comes with libxxhash-dev, which the build needs
    library.XXH3_64bits.argtypes, library.XXH3_64bits.restype = (ctypes.c_char_p, ctypes.c_size_t), ctypes.c_uint64
    return f"{library.XXH3_64bits(data, len(data)):016x}"


def files_in(folder: Path) -> dict[str, bytes]:
    """Everything but locks and temporary files, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.endswith(".lock") and ".tmp" not in path.name and ".writing-" not in path.name}
