"""<fold>.predictions.pkl of hear-eval, read by Python as the official runner's file is.

Usage: predictions_test.py HEAR_EVAL. Exits with 77 (skipped) without PyTorch or NumPy."""

import json
import pathlib
import pickle
import subprocess
import sys
import tempfile

try:
    import numpy  # noqa: F401
    import torch
except ImportError:
    print("needs PyTorch and NumPy")
    sys.exit(77)

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "hear"


def evaluate(hear_eval, task, output):
    command = [hear_eval, "--quiet", "--grid-points", "1", "--output", output, GOLDEN / task]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    folder = output / "hear_00" / task
    with open(folder / "test.predictions.pkl", "rb") as file:
        predictions = pickle.load(file)
    scores = json.loads((folder / "test.predicted-scores.json").read_text())
    return predictions, scores["test"]


def check_scenes(hear_eval, output):
    predictions, scores = evaluate(hear_eval, "toymc-v1-full", output)
    assert list(predictions) == ["target", "prediction", "prediction_logit"], list(predictions)
    target, prediction, logit = predictions.values()
    for tensor in predictions.values():
        assert isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float32, tensor
        assert tensor.shape == target.shape and tensor.shape[0] == 125, tensor.shape
    logit += 0.0  # writable
    assert torch.allclose(logit.softmax(1), prediction)
    accuracy = (prediction.argmax(1) == target.argmax(1)).float().mean().item()
    assert abs(accuracy - scores["test_top1_acc"]) < 1e-6, (accuracy, scores)


def check_events(hear_eval, output):
    task = "toyevent-v1-full"
    predictions, _ = evaluate(hear_eval, task, output)
    expected = json.loads((GOLDEN / task / "test.json").read_text())
    assert predictions["target_events"] == expected
    assert predictions["predicted_events"].keys() == expected.keys()
    frames = json.loads((GOLDEN / task / "test.filename-timestamps.json").read_text())
    assert predictions["timestamp"].tolist() == [time for _, time in frames]
    labels = {event["label"] for events in expected.values() for event in events}
    found = [event for events in predictions["predicted_events"].values() for event in events]
    assert found and all(event["label"] in labels and event["start"] < event["end"] for event in found)


with tempfile.TemporaryDirectory() as folder:
    check_scenes(sys.argv[1], pathlib.Path(folder))
    check_events(sys.argv[1], pathlib.Path(folder))
