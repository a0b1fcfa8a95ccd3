"""Measures and checks pre-training and evaluation on several GPUs of one machine, in one go.

Usage: scaling.py --bin build/release/bin --output scaling.jsonl [--ranks 1,2,4,8] [--limit 420] [--only PART] [--models ssast-base]
       scaling.py --bin build/release/bin --output tiny.jsonl --tiny    (two ranks on the CPU, to try the script)

Speed: three models on noise and on packed clips, with the same batch for each GPU and with the same batch in total,
with and without overlap of communication. Checks: losses do not depend on the number of ranks; a run goes on with
another number of ranks; a rank that is killed is named, the others end, the launcher starts all again. Evaluation:
extract and hear-eval with all GPUs give what they give with one. One JSON object
a line: first the machine, then every measurement with its command. Exit code 1 if a measurement or a check failed.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

MODELS = {
    "axlstm-tiny-E3": ["model.arch=axlstm", "model.size=tiny", "model.expansion=3"],
    "axlstm-base-E3": ["model.arch=axlstm", "model.size=base", "model.expansion=3"],
    "ssam-tiny": ["model.arch=ssam", "model.size=tiny"],
    "ssast-base": ["model.arch=ssast", "model.size=base"],
    "nano": ["model.size=custom", "model.dim=16", "model.depth=2", "model.expansion=2"],
}
SPEED_MODELS = ["axlstm-tiny-E3", "axlstm-base-E3", "ssast-base"]
BATCH = {"axlstm-tiny-E3": 1024, "axlstm-base-E3": 512, "ssam-tiny": 1024, "ssast-base": 512, "nano": 4}  # clips of one GPU
# Steps of one timed stretch; the one before it warms up.
STEPS = {"axlstm-tiny-E3": 16, "axlstm-base-E3": 8, "ssam-tiny": 8, "ssast-base": 8, "nano": 4}
QUIET = ["train.save_every_steps=1000000", "train.picture_every_steps=1000000"]
NAMED = re.compile(r"rank 1 \(process \d+\) was killed|rank 1 \(.*has not been heard of")


def children(pid: int) -> list[int]:
    """Processes that `pid` started, and theirs."""
    try:
        direct = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [process for child in direct for process in (child, *children(child))]


def process_of_rank(launcher: int, rank: int) -> int | None:
    for child in children(launcher):
        try:
            if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
                return child
        except OSError:
            pass
    return None


class Failed(Exception):
    """A measurement that gave no number; the text says why."""


class Bench:
    def __init__(self, arguments: argparse.Namespace, scratch: Path) -> None:
        self.bin, self.tiny, self.scratch = arguments.bin.resolve(), arguments.tiny, scratch
        self.ranks = [int(count) for count in arguments.ranks.split(",")]
        self.end = time.monotonic() + arguments.limit
        self.output = arguments.output.open("w", encoding="utf-8")
        self.failures: list[str] = []
        self.count = 0
        # Steps of T make the checks quick; in the tiny mode everything is small.
        self.models = ["nano"] if self.tiny else arguments.models.split(",")
        self.check_model, self.check_batch = ("nano", 4) if self.tiny else ("axlstm-tiny-E3", 256)

    def write(self, record: dict) -> None:
        self.output.write(json.dumps(record) + "\n")
        self.output.flush()
        print(json.dumps(record), flush=True)

    def keys(self, model: str, batch: int, steps: int, run: Path, data: list[str]) -> list[str]:
        epochs = ["optim.epochs=100000", "optim.warmup_epochs=0", "optim.base_lr=1e-4"]
        device = ["train.device=cpu", "train.threads=1", "data.workers=1"] if self.tiny else ["train.device=cuda"]
        return [*MODELS[model], *epochs, *device, *data, f"optim.global_batch={batch}", f"train.max_steps={steps}", f"train.run_dir={run}"]

    def new_run(self, name: str) -> Path:
        self.count += 1
        return self.scratch / f"{self.count:03d}-{name}"

    def start(self, ranks: int, keys: list[str], options: list[str] = (), environment: dict | None = None) -> subprocess.Popen:
        launch = ["--nproc", str(ranks), *options] if environment is None else []
        command = [str(self.bin / "pretrain"), *launch, *keys]
        log = (self.scratch / f"{self.count:03d}.log").open("a")
        return subprocess.Popen(command, stderr=log, stdout=log, env={**os.environ, **(environment or {})}, start_new_session=True)

    def log(self) -> str:
        return (self.scratch / f"{self.count:03d}.log").read_text(errors="replace")

    def finish(self, process: subprocess.Popen, seconds: float) -> int:
        """Waits, but not for ever: kills the launcher's ranks too, which may hang in a sum."""
        try:
            return process.wait(timeout=max(1, min(seconds, self.end - time.monotonic())))
        except subprocess.TimeoutExpired:
            for pid in (*children(process.pid), process.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            process.wait()
            raise Failed(f"not done after {seconds:.0f} s: {self.log()[-2000:]}") from None

    def run(self, ranks: int, keys: list[str], seconds: float) -> None:
        code = self.finish(self.start(ranks, keys), seconds)
        if code:
            raise Failed(f"exit code {code}: {self.log()[-2000:]}")

    def measure(self, name: str, what: dict, function) -> None:
        """Runs one measurement and writes what it returns; a failure costs this one only."""
        record = {"measurement": name, **what}
        start = time.monotonic()
        if start > self.end:
            record["skipped"] = "--limit is used up"
            self.failures.append(f"{name} {what}: skipped")
        else:
            try:
                record |= function()
            except Failed as failure:
                record["error"] = str(failure)
            if record.get("error") or record.get("holds") is False:
                self.failures.append(f"{name} {what}: {record.get('error', 'does not hold')}")
        record["wall_s"] = round(time.monotonic() - start, 1)
        self.write(record)

    def records(self, run: Path) -> list[dict]:
        lines = []
        if (run / "metrics.jsonl").is_file():
            for line in (run / "metrics.jsonl").read_text().splitlines():
                try:
                    lines.append(json.loads(line))
                except json.JSONDecodeError:
                    pass  # being written
        return lines

    # Speed -------------------------------------------------------------------------------------------------------------

    def speed(self, model: str, data_name: str, data: list[str], ranks: int, batch: int, overlap: bool) -> None:
        what = {"model": model, "data": data_name, "gpus": ranks, "global_batch": batch, "overlap": overlap}

        def once() -> dict:
            run = self.new_run("speed")
            steps = STEPS[model]
            # Clips a second are those since the last progress line: of the second stretch of steps.
            keys = [*self.keys(model, batch, 2 * steps, run, data), *QUIET, f"train.log_every_steps={steps}",
                    f"distributed.overlap={'true' if overlap else 'false'}"]
            self.run(ranks, keys, 90)
            last = self.records(run)[-1]
            shutil.rmtree(run)
            figures = {key: last[key] for key in ("clips_per_second", "communication", "data_wait", "memory_gb", "mfu", "loss") if key in last}
            return {**figures, "command": " ".join(["pretrain", "--nproc", str(ranks), *keys])}

        self.measure("speed", what, once)

    def speeds(self) -> None:
        most = max(self.ranks) * max(BATCH[model] for model in self.models)
        noise, packed = [f"data.synthetic={2 * most}"], [f"data.packed={self.pack(most)}"]
        for model in self.models:
            for ranks in self.ranks:
                self.speed(model, "noise", noise, ranks, BATCH[model] * ranks, overlap=True)
                if ranks > 1:
                    self.speed(model, "noise", noise, ranks, BATCH[model] * ranks, overlap=False)
                    self.speed(model, "noise", noise, ranks, BATCH[model], overlap=True)
                self.speed(model, "packed", packed, ranks, BATCH[model] * ranks, overlap=True)

    def pack(self, clips: int) -> Path:
        """Packs `clips` clips of 2.5 s, cut out of one file of noise."""
        seconds, wav, manifest = 2.5, self.scratch / "noise.wav", self.scratch / "noise.csv"
        with wave.open(str(wav), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            for _ in range(16):
                file.writeframes(os.urandom(2 * 16000 * 10))
        starts = (f"noise.wav,{n},{(n * 37 % 1500) / 10:.1f},{seconds}" for n in range(clips))
        manifest.write_text("path,id,start,duration\n" + "\n".join(starts) + "\n")
        packed = self.scratch / "packed"
        subprocess.run([self.bin / "pack", "--quiet", "--output", packed, f"data.manifest={manifest}"], check=True)
        return packed

    # Checks ------------------------------------------------------------------------------------------------------------

    def losses(self, run: Path) -> list[float]:
        return [record["loss"] for record in self.records(run)]

    def compare(self, run: Path, other: Path, steps: int) -> dict:
        a, b = self.losses(run)[:steps], self.losses(other)[:steps]
        if len(a) < steps or len(b) < steps:
            raise Failed(f"{len(a)} and {len(b)} steps instead of {steps}: {self.log()[-2000:]}")
        differences = [abs(x - y) / y for x, y in zip(a, b)]
        # bf16 keeps 8 bits; the differences of a step's many roundings average out, those of the steps add up.
        bound = 1e-4 if self.tiny else 2**-8
        return {"steps": steps, "largest_relative_difference": max(differences), "mean_relative_difference": sum(differences) / steps,
                "first_loss": b[0], "last_losses": [a[-1], b[-1]], "bound": bound, "holds": max(differences) < bound}

    def checks(self) -> None:
        steps = 20 if self.tiny else 200
        data = [f"data.synthetic={16 * self.check_batch}"]
        most = max(self.ranks)
        batch, model = self.check_batch * (1 if most <= 2 else 2), self.check_model
        alone, together, mixed = (self.new_run(name) for name in ("alone", "together", "mixed"))

        def train(run: Path, ranks: int, to: int) -> None:
            self.count += 1  # a log of its own
            self.run(ranks, [*self.keys(model, batch, to, run, data), *QUIET], 90)

        def same_losses() -> dict:
            train(alone, 1, steps)
            train(together, most, steps)
            return self.compare(together, alone, steps)

        def other_number_of_ranks() -> dict:
            train(mixed, most, steps // 4)
            train(mixed, 1, steps // 2)
            train(mixed, most, steps // 2 + steps // 4)
            return self.compare(mixed, alone, steps // 2 + steps // 4)

        what = {"model": model, "gpus": most, "global_batch": batch}
        self.measure("losses equal those of one rank", what, same_losses)
        self.measure("a run goes on with another number of ranks", what, other_number_of_ranks)
        self.measure("a killed rank, with --nproc and one restart", what, lambda: self.kill_under_launcher(model, batch, data, most, alone))
        self.measure("a killed rank, without --nproc", what, lambda: self.kill_alone(model, batch, data))

    def wait_for(self, condition, seconds: float, what: str) -> float:
        start = time.monotonic()
        while not condition():
            if time.monotonic() - start > seconds or time.monotonic() > self.end:
                raise Failed(f"{what}: not after {seconds:.0f} s: {self.log()[-2000:]}")
            time.sleep(0.02)
        return time.monotonic() - start

    def kill_under_launcher(self, model: str, batch: int, data: list[str], ranks: int, unbroken: Path) -> dict:
        run, steps = self.new_run("killed"), 12 if self.tiny else 100
        keys = [*self.keys(model, batch, steps, run, data), *QUIET, f"train.save_every_steps={steps // 4}"]
        launcher = self.start(ranks, keys, ["--max-restarts", "1"])
        try:
            self.wait_for(lambda: len(self.records(run)) > steps // 3, 60, "the first steps")
            os.kill(process_of_rank(launcher.pid, 1), signal.SIGKILL)
            named = self.wait_for(lambda: NAMED.search(self.log()), 60, "the name of the killed rank")
            restarted = named + self.wait_for(lambda: "restart 1 of 1" in self.log(), 60, "the restart")
            resumed = restarted + self.wait_for(lambda: "resuming" in self.log(), 60, "resuming")
        finally:
            code = self.finish(launcher, 60)
        compared = self.compare(run, unbroken, steps)
        return {**compared, "seconds_to_name_it": round(named, 2), "seconds_to_restart": round(restarted, 2),
                "seconds_to_resume": round(resumed, 2), "exit_code": code, "holds": code == 0 and compared["holds"]}

    def kill_alone(self, model: str, batch: int, data: list[str]) -> dict:
        """Two ranks that only the environment knows of, as under srun."""
        run, patience = self.new_run("alone"), 3 if self.tiny else 10
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        keys = [*self.keys(model, batch, 10**6, run, data), *QUIET, f"distributed.heartbeat_s={patience}"]
        ranks = [
            self.start(2, keys, environment={"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
            for rank in range(2)
        ]
        try:
            self.wait_for(lambda: len(self.records(run)) > 3, 60, "the first steps")
            ranks[1].kill()
            killed = time.monotonic()
            named = self.wait_for(lambda: NAMED.search(self.log()), 60, "the name of the killed rank")
            code = self.finish(ranks[0], 60)
            ended = time.monotonic() - killed
        finally:
            for rank in ranks:
                rank.kill()
                rank.wait()
        return {"heartbeat_s": patience, "seconds_to_name_it": round(named, 2), "seconds_to_end": round(ended, 2), "exit_code": code,
                "holds": code == 1 and ended < 60}

    # Evaluation --------------------------------------------------------------------------------------------------------

    def make_tasks(self, tasks: int, clips: int) -> list[Path]:
        """HEAR tasks of `clips` clips for each of three splits, in four classes of periodic noise."""
        metadata = {"version": "v1", "mode": "full", "embedding_type": "scene", "prediction_type": "multiclass", "split_mode": "trainvaltest",
                    "splits": ["train", "valid", "test"], "sample_duration": 2.0, "evaluation": ["top1_acc"], "use_scoring_for_early_stopping": True}
        folders = []
        for task in range(tasks):
            folder = self.scratch / "tasks" / f"noise{task}-v1-full"
            for split in metadata["splits"]:
                audio = folder / "16000" / split
                audio.mkdir(parents=True)
                for clip in range(clips):
                    period = 40 + 40 * (clip % 4)
                    with wave.open(str(audio / f"{clip}.wav"), "wb") as file:
                        file.setnchannels(1)
                        file.setsampwidth(2)
                        file.setframerate(16000)
                        file.writeframes(os.urandom(2 * period) * (32000 // period))
                (folder / f"{split}.json").write_text(json.dumps({f"{clip}.wav": [f"class{clip % 4}"] for clip in range(clips)}))
            (folder / "task_metadata.json").write_text(json.dumps({"task_name": f"noise{task}", **metadata}))
            (folder / "labelvocabulary.csv").write_text("idx,label\n" + "".join(f"{c},class{c}\n" for c in range(4)))
            folders.append(folder)
        return folders

    def timed(self, command: list, gpus: int) -> float:
        self.count += 1
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(str(gpu) for gpu in range(gpus))}
        start = time.monotonic()
        with (self.scratch / f"{self.count:03d}.log").open("a") as log:
            code = self.finish(subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, env=environment, start_new_session=True), 120)
        if code:
            raise Failed(f"exit code {code}: {self.log()[-2000:]}")
        return time.monotonic() - start

    def evaluation(self) -> None:
        tasks, clips, seeds = (2, 8, 1) if self.tiny else (8, 400, 4)
        device = "cpu" if self.tiny else "cuda"
        folders, config = self.make_tasks(tasks, clips), self.scratch / "model.yaml"
        config.write_text("model:\n" + "".join(f"  {key.removeprefix('model.').replace('=', ': ')}\n" for key in MODELS[self.check_model]))
        embeddings, scores = {}, {}

        def once(gpus: int) -> dict:
            made, out = self.scratch / f"embeddings{gpus}", self.scratch / f"scores{gpus}"
            extracting = self.timed([self.bin / "extract", "--model", f"random:{config}", "--device", device, "--output", made / "noise", *folders], gpus)
            scoring = self.timed([self.bin / "hear-eval", "--device", device, "--seeds", seeds, "--output", out, made / "noise"], gpus)
            splits = [file.read_bytes() for file in sorted(made.rglob("*.embeddings.npy"))]
            found = [json.loads(file.read_text())["test"]["test_score"] for file in sorted(out.rglob("test.predicted-scores.json"))]
            if len(splits) != 3 * tasks or len(found) != tasks * seeds:
                raise Failed(f"{len(splits)} splits and {len(found)} scores")
            embeddings[gpus], scores[gpus] = splits, found
            if self.ranks[0] not in scores:
                raise Failed(f"nothing of {self.ranks[0]} GPUs to compare with")
            shifts = [abs(a - b) for a, b in zip(found, scores[self.ranks[0]])]
            same = splits == embeddings[self.ranks[0]]
            return {"tasks": tasks, "clips": 3 * clips * tasks, "seeds": seeds, "extract_s": round(extracting, 2), "hear_eval_s": round(scoring, 2),
                    "embeddings_equal": same, "largest_difference_of_scores": max(shifts), "holds": same and sum(shifts) / len(shifts) < 0.05}

        for gpus in self.ranks:
            self.measure("extract and hear-eval", {"model": self.check_model, "gpus": gpus}, lambda: once(gpus))


def machine(bin_dir: Path) -> dict:
    def output(*command: str) -> str:
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
        except FileNotFoundError:
            return ""

    gpus = output("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader").splitlines()
    return {"machine": {"gpus": gpus, "links": output("nvidia-smi", "topo", "-m"), "cores": os.cpu_count(),
                        "doctor": output(str(bin_dir / "pretrain"), "--doctor").splitlines()[:8]}}


def table(path: Path) -> str:
    """Speeds beside those of one GPU of the same model and data, as Markdown."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    speeds = [record for record in records if record.get("measurement") == "speed" and "clips_per_second" in record]
    base = {(record["model"], record["data"]): record["clips_per_second"] for record in speeds if record["gpus"] == 1}
    lines = ["| model | data | GPUs | global batch | overlap | clips/s | times one GPU | communication | data wait |", "| --- " * 9 + "|"]
    for record in speeds:
        one = base.get((record["model"], record["data"]))
        lines.append("| " + " | ".join(str(cell) for cell in (
            record["model"], record["data"], record["gpus"], record["global_batch"], "yes" if record["overlap"] else "no",
            f"{record['clips_per_second']:,.0f}", f"{record['clips_per_second'] / one:.2f}" if one else "",
            f"{100 * record.get('communication', 0):.1f} %", f"{100 * record['data_wait']:.1f} %")) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True, help="folder of the programs")
    parser.add_argument("--output", type=Path, required=True, help="file of JSON lines to write")
    parser.add_argument("--ranks", default="1,2", help="numbers of GPUs to measure with, 1 first [1,2]")
    parser.add_argument("--limit", type=float, default=420, help="seconds for everything [420]")
    parser.add_argument("--only", choices=["speed", "checks", "evaluation"], help="one part only")
    parser.add_argument("--models", default=",".join(SPEED_MODELS), help="models of the speed part [%(default)s]")
    parser.add_argument("--tiny", action="store_true", help="a nano model on the CPU")
    arguments = parser.parse_args()
    for model in arguments.models.split(","):
        if model not in SPEED_MODELS:
            parser.error(f"--models: '{model}' is none of {', '.join(SPEED_MODELS)}")
    with tempfile.TemporaryDirectory(prefix="axlstm-scaling-") as scratch:
        bench = Bench(arguments, Path(scratch))
        bench.write(machine(bench.bin))
        for part in ("checks", "evaluation", "speed"):  # what must hold comes first
            if arguments.only in (None, part):
                {"checks": bench.checks, "evaluation": bench.evaluation, "speed": bench.speeds}[part]()
        bench.output.close()
    print(table(arguments.output))
    print("\n".join(["FAILED:", *bench.failures]) if bench.failures else "everything was measured, every check holds")
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
