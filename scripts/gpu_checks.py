"""Checks training on a GPU against what it must equal, on the audio of this repository.

Usage: gpu_checks.py --bin build/ci/bin --output checks.jsonl
       gpu_checks.py --bin build/ci/bin --output tiny.jsonl --tiny    (a nano model on the CPU, to try the script)

Curve: AxLSTM-T, expansion 3, in bfloat16 with the fused kernels beside float32 through LibTorch's operators, the same seed
and clips; how far their losses are apart, beside how far apart two seeds are. Resume: with train.deterministic a run that was
stopped half-way ends with the bytes of the unbroken one. One JSON object a line; exit code 1 if a check does not hold.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent


class Checks:
    def __init__(self, arguments: argparse.Namespace, scratch: Path) -> None:
        self.pretrain, self.scratch = arguments.bin / "pretrain", scratch
        self.steps = 8 if arguments.tiny else 200
        self.model = ["model.size=custom", "model.dim=16", "model.depth=2", "optim.global_batch=4", "train.device=cpu"] if arguments.tiny else [
            "model.size=tiny", "model.expansion=3", "optim.global_batch=64", "train.device=cuda"]
        # Asked for by name: where they cannot run, nothing is to be taken for them.
        self.kernels = ["train.precision=bf16"] if arguments.tiny else ["train.precision=bf16", "kernel.backend=fused"]
        self.output = arguments.output.open("w", encoding="utf-8")
        self.holds = True

    def write(self, record: dict) -> None:
        self.holds = self.holds and record["holds"]
        self.output.write(json.dumps(record) + "\n")
        print(json.dumps(record), flush=True)

    def train(self, name: str, steps: int, *keys: str) -> Path:
        """The run's folder; a second call goes on with the run."""
        run = self.scratch / name
        always = ["model.arch=axlstm", "optim.epochs=1000", "optim.warmup_epochs=10", "optim.base_lr=2e-4", "train.save_every_steps=100000",
                  "train.picture_every_steps=100000", f"data.root={REPO / 'tests/data/audio'}", f"train.run_dir={run}", f"train.max_steps={steps}"]
        subprocess.run([self.pretrain, "--quiet", *always, *self.model, *keys], check=True)
        return run

    def losses(self, run: Path) -> list[float]:
        return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]

    def curve(self) -> None:
        exact = ["train.precision=fp32", "kernel.backend=reference"]
        kernels = self.losses(self.train("kernels", self.steps, *self.kernels))
        reference = self.losses(self.train("reference", self.steps, *exact))
        other_seed = self.losses(self.train("other", self.steps, *exact, "train.seed=1"))
        differences = [abs(a - b) / b for a, b in zip(kernels, reference, strict=True)]
        seeds = [abs(a - b) / b for a, b in zip(other_seed, reference, strict=True)]
        mean, noise = sum(differences) / len(differences), sum(seeds) / len(seeds)
        self.write({"check": "bf16 with the kernels follows fp32", "steps": self.steps, "mean_relative_difference": mean,
                    "largest_relative_difference": max(differences), "mean_relative_difference_of_two_seeds": noise,
                    "last_losses": [kernels[-1], reference[-1]], "holds": mean < noise / 10})

    def resume(self) -> None:
        def digest(run: Path) -> str:
            newest = max((run / "checkpoints").glob("step-*"))
            return hashlib.sha256((newest / "model.safetensors").read_bytes()).hexdigest()

        steps, keys = max(2, self.steps // 4), [*self.kernels, "train.deterministic=true"]
        unbroken = self.train("unbroken", steps, *keys)
        self.train("stopped", steps // 2, *keys)
        stopped = self.train("stopped", steps, *keys)
        self.write({"check": "a stopped run ends with the bytes of the unbroken one", "steps": steps, "holds": digest(unbroken) == digest(stopped)})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True, help="folder of pretrain")
    parser.add_argument("--output", type=Path, required=True, help="file of JSON lines to write")
    parser.add_argument("--tiny", action="store_true", help="a nano model on the CPU")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="axlstm-checks-") as scratch:
        checks = Checks(arguments, Path(scratch))
        checks.curve()
        checks.resume()
    return 0 if checks.holds else 1


if __name__ == "__main__":
    sys.exit(main())
