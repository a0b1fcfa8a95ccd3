"""What a run leaves to look at, read by the programs it is meant for: TensorBoard and matplotlib.

Usage: watching_test.py PRETRAIN   (exits with 77, skipped, where a package is missing)
"""

import importlib.util
import json
import math
import struct
import subprocess
import sys
import tempfile
import unittest
import wave
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
PRETRAIN = ""


def write_tone(path: Path, hertz: float) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        samples = (round(9000 * math.sin(2 * math.pi * hertz * n / 16000)) for n in range(32000))
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))


class WatchingTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.scratch.name)
        (cls.folder / "audio").mkdir()
        for n in range(8):
            write_tone(cls.folder / "audio" / f"{n}.wav", 200 + 100 * n)
        cls.train(max_steps=6)
        cls.train(max_steps=8)  # resumed: a second event file

    @classmethod
    def tearDownClass(cls) -> None:
        cls.scratch.cleanup()

    @classmethod
    def train(cls, max_steps: int) -> None:
        keys = "model.size=custom model.dim=16 model.depth=1 optim.global_batch=4 optim.epochs=4 optim.warmup_epochs=1 \
            train.device=cpu train.threads=1 train.log_every_steps=2 train.picture_every_steps=4 train.validate_every_steps=4"
        subprocess.run(
            [PRETRAIN, "--quiet", *keys.split(), f"data.root={cls.folder}/audio", f"data.validation={cls.folder}/audio",
             f"train.run_dir={cls.folder}/run", f"train.max_steps={max_steps}"],
            check=True,
        )

    def records(self) -> list[dict]:
        return [json.loads(line) for line in (self.folder / "run/metrics.jsonl").read_text().splitlines()]

    def test_tensorboard_reads_scalars_pictures_and_text(self) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(self.folder / "run/tensorboard")).Reload()
        losses = {event.step: event.value for event in events.Scalars("train/loss")}
        expected = {record["step"]: record["loss"] for record in self.records()}
        self.assertEqual(sorted(losses), [2, 4, 6, 8])
        for step, loss in losses.items():
            self.assertAlmostEqual(loss, expected[step], places=5)
        self.assertEqual([event.step for event in events.Scalars("validation/loss")], [4, 6, 8])
        pictures = events.Images("reconstruction")
        self.assertEqual([picture.step for picture in pictures], [0, 4, 6, 8])
        self.assertTrue(pictures[0].encoded_image_string.startswith(b"\x89PNG"))
        self.assertEqual((pictures[0].width, pictures[0].height), struct.unpack(">II", pictures[0].encoded_image_string[16:24]))
        text = events.Tensors("config")[-1].tensor_proto.string_val[0].decode()
        self.assertIn("global_batch: 4", text)

    def test_plot_runs_draws_a_picture(self) -> None:
        for name, magic in (("losses.png", b"\x89PNG"), ("losses.svg", b"<?xml")):
            picture = self.folder / name
            run = str(self.folder / "run")
            subprocess.run([sys.executable, str(SCRIPTS / "plot_runs.py"), run, run, "--output", str(picture)], check=True)
            self.assertTrue(picture.read_bytes().startswith(magic))
        failed = subprocess.run(
            [sys.executable, str(SCRIPTS / "plot_runs.py"), str(self.folder), "--output", "x.png"], capture_output=True, text=True
        )
        self.assertNotEqual(failed.returncode, 0)
        self.assertIn("metrics.jsonl", failed.stderr)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    PRETRAIN = sys.argv.pop(1)
    missing = [name for name in ("tensorboard", "matplotlib") if not importlib.util.find_spec(name)]
    if missing:
        print(f"skipped: {' and '.join(missing)} not installed in {sys.executable}")
        sys.exit(77)
    unittest.main()
