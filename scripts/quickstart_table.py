"""Prints the quickstart's table: one task, four kinds of embeddings, and chance.

Usage: quickstart_table.py EMBEDDINGS_DIR TASK_DIR
"""

import json
import sys
from collections import Counter
from pathlib import Path

NAMES = {"pretrained": "AxLSTM, pre-trained", "published": "AxLSTM-T, docs/weights", "random": "AxLSTM, random weights", "naive": "HEAR-naive features"}


def main() -> None:
    embeddings, task = Path(sys.argv[1]), Path(sys.argv[2])
    labels = Counter(label for names in json.loads((task / "test.json").read_text()).values() for label in names)
    rows = []
    for folder, name in NAMES.items():
        scores = json.loads((embeddings / folder / task.name / "test.predicted-scores.json").read_text())["test"]
        rows.append((name, scores["test_top1_acc"], scores["test_mAP"]))
    rows.append(("most frequent class", max(labels.values()) / labels.total(), None))
    print(f"\n{task.name}: {labels.total()} test clips, {len(labels)} classes\n")
    print(f"{'embeddings':<24}{'top-1':>8}{'mAP':>8}")
    for name, accuracy, precision in rows:
        print(f"{name:<24}{accuracy:>8.3f}{'' if precision is None else f'{precision:8.3f}'}")


if __name__ == "__main__":
    main()
