"""The page that `hear-eval report` writes, in headless Chromium: table, legend and plots are there and fit a wide and a
narrow window, points tell their names on hover, and nothing is reported on the console.

Usage: report_page_test.py HEAR_EVAL. Exits with 77 (skipped) without Chromium.
"""

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
TASKS = (
    "beijing_opera-v1.0-hear2021-full mridangam_stroke-v1.5-full mridangam_tonic-v1.5-full nsynth_pitch-v2.2.3-5h "
    "tfds_crema_d-1.0.0-full libricount-v1.0.0-hear2021-full speech_commands-v0.0.2-5h vox_lingua_top10-hear2021-full "
    "esc50-v2.0.0-full fsd50k-v1.0-full"
).split()
MODELS = ["tiny", "small <b>&", "naive", "m3", "m4", "m5", "m6", "a_model_with_quite_a_long_name_of_a_sweep_E_3_gate_flip"]
PUBLISHED = 20  # rows of Table 2
# Holds the page in a frame of the given width, and writes what it finds into its own document.
FRAME = """<!DOCTYPE html><meta charset="utf-8"><body style="margin: 0">
<iframe id="page" style="border: 0; width: WIDTHpx; height: 5000px" srcdoc="PAGE"></iframe><pre id="found"></pre>
<script>
addEventListener('load', () => {
  const page = document.getElementById('page').contentDocument;
  const root = page.documentElement;
  const name_at = (mark) => {  // of what a pointer on the mark's middle touches
    mark.scrollIntoView({inline: 'center', block: 'nearest'});
    const box = mark.getBoundingClientRect();
    const touched = page.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return touched?.closest('g')?.querySelector('title')?.textContent ?? null;
  };
  const found = {
    overflow: root.scrollWidth - root.clientWidth,
    rows: [...page.querySelectorAll('tbody tr:not(.group)')].map((row) => row.cells[0].textContent),
    columns: page.querySelectorAll('thead th').length,
    legend: [...page.querySelectorAll('.legend li')].map((item) => item.textContent),
    legend_marks: [...page.querySelectorAll('.legend .mark')].map((mark) => mark.outerHTML),
    plots: [...page.querySelectorAll('svg[role=img]')].map((plot) => ({
      label: plot.getAttribute('aria-label'), width: plot.getBoundingClientRect().width,
      marks: plot.querySelectorAll('.mark').length,
      names: [...plot.querySelectorAll('g .mark')].filter((mark) => mark.getBoundingClientRect().width > 0).map(name_at)})),
  };
  document.getElementById('found').textContent = JSON.stringify(found);
});
</script>"""


def write_scores(folder: Path) -> None:
    for m, model in enumerate(MODELS):
        for t, task in enumerate(TASKS):
            for seed in range(2):
                file = folder / f"{model}_{seed:02}" / task / "test.predicted-scores.json"
                file.parent.mkdir(parents=True)
                score = 0.05 + 0.1 * m + 0.01 * t + 0.002 * seed
                file.write_text(json.dumps({"test": {"test_score": score}, "score_mode": "max"}))
                note = {"model": model, "task": task, "seed": seed, "grid": "released", "grid_points": 8, "embeddings": ""}
                file.with_name("prediction-done.json").write_text(json.dumps(note))


class ReportPageTest(unittest.TestCase):
    maxDiff = None
    hear_eval = ""

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        root = Path(cls.folder.name)
        write_scores(root / "scores")
        command = [cls.hear_eval, "report", "--output", root / "report", root / "scores"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        cls.page = (root / "report/report.html").read_text()

    def opened(self, page: str, width: int) -> tuple[dict, list[str]]:
        """What the script above found, and the console's lines."""
        folder = Path(self.folder.name)
        frame = folder / "frame.html"
        frame.write_text(FRAME.replace("WIDTH", str(width)).replace("PAGE", html.escape(page)))
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
        command += [f"--user-data-dir={folder / 'profile'}", f"--window-size={max(width, 600)},5200", "--virtual-time-budget=5000"]
        result = subprocess.run([*command, "--dump-dom", frame.as_uri()], capture_output=True, text=True, timeout=100, check=True)
        found = re.search(r'<pre id="found">(.*?)</pre>', result.stdout, re.DOTALL)
        self.assertTrue(found and found[1], f"the page was not read: {result.stderr}")
        return json.loads(html.unescape(found[1])), [line for line in result.stderr.splitlines() if "CONSOLE" in line]

    def test_all_is_there_at_both_widths(self) -> None:
        for width in (1400, 400):
            with self.subTest(width=width):
                found, console = self.opened(self.page, width)
                self.assertEqual(console, [])
                self.assertEqual(found["overflow"], 0, "wide parts scroll by themselves, the page does not")
                self.assertEqual(sorted(found["rows"][-len(MODELS) :]), sorted(MODELS))
                self.assertEqual(len(found["rows"]), len(MODELS) + PUBLISHED)
                self.assertEqual(found["columns"], 1 + len(TASKS) + 2, "model, tasks, s(m) on two scales")
                self.assertEqual(sorted(found["legend"]), sorted([*MODELS, "published"]))
                self.assertEqual(len(set(found["legend_marks"])), len(MODELS) + 1, "each model has its own mark")
                plots = {plot["label"]: plot for plot in found["plots"]}
                self.assertEqual(set(plots), {"score per task", "s(m), table scale", "s(m), published scale"})
                points = plots["score per task"]
                self.assertEqual(points["marks"], (len(MODELS) + PUBLISHED) * len(TASKS))
                for plot in plots.values():  # a bar of s(m) ≤ 0 has no width; its name stands beside it
                    self.assertGreater(plot["width"], 700, "as wide as it was drawn, for text that can be read")
                    self.assertNotIn(None, plot["names"], "every mark has a name on hover")
                for model in MODELS:
                    self.assertTrue(any(name.startswith(f"{model}, ") for name in points["names"]), model)

    def test_the_console_is_heard(self) -> None:
        _, console = self.opened(self.page.replace("</body>", "<script>no_such_function()</script></body>"), 400)
        self.assertEqual(len(console), 1)
        self.assertIn("no_such_function", console[0])


if __name__ == "__main__":
    if CHROMIUM is None:
        print(f"skipped: none of {', '.join(NAMES)} is installed")
        sys.exit(77)
    ReportPageTest.hear_eval = Path(sys.argv.pop(1)).resolve()
    unittest.main()
