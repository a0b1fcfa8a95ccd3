"""The documentation holds together: the index is complete, links lead somewhere, lines are short enough to read.

Usage: documentation_test.py
"""

import re
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
COLUMNS = 140
README_LINES = 95
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
# Generated.
LONG_LINES = {"config.md"}
LINK = re.compile(r"(?<!\\)!?\[[^\]]*\]\(([^)\s]+)\)")


def text_of(page: Path) -> list[tuple[int, str]]:
    """Numbered lines outside of fenced code."""
    lines, fence = [], None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and fence is None:
            fence = mark[1]
        elif mark and line.strip() == fence:
            fence = None
        elif fence is None:
            lines.append((number, line))
    return lines


def links_of(page: Path) -> list[tuple[int, str]]:
    without_code = ((number, re.sub(r"`[^`]*`", "", line)) for number, line in text_of(page))
    return [(number, target) for number, line in without_code for target in LINK.findall(line)]


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives headings: lower case, without punctuation, hyphens for spaces."""
    anchors: dict[str, int] = {}
    for _, line in text_of(page):
        heading = re.match(r"#{1,6} +(.*?)[ #]*$", line)
        if heading:
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            anchors[anchor] = anchors.get(anchor, -1) + 1
    return {f"{anchor}-{n}" if n else anchor for anchor, last in anchors.items() for n in range(last + 1)}


class DocumentationTest(unittest.TestCase):
    maxDiff = None

    def test_the_index_names_every_page(self) -> None:
        linked = {target.partition("#")[0] for _, target in links_of(DOCS / "README.md")}
        pages = {page.name for page in DOCS.glob("*.md")} - {"README.md"}
        self.assertEqual(sorted(pages - linked), [], "pages that docs/README.md does not name")

    def test_links_lead_to_files_and_headings(self) -> None:
        broken = []
        for page in PAGES:
            for number, target in links_of(page):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, anchor = target.partition("#")
                file = (page.parent / path).resolve() if path else page
                if not file.exists() or (anchor and anchor not in anchors_of(file)):
                    broken.append(f"{page.relative_to(ROOT)}:{number}: {target}")
        self.assertEqual(broken, [])

    def test_the_names_of_anchors(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.md"
            page.write_text("# How `it` is, *exactly*\n## Twice\n## Twice\n```\n# no heading [a](b.md)\n```\nsee [a](b.md#c), `[d](e.md)`\n")
            self.assertEqual(anchors_of(page), {"how-it-is-exactly", "twice", "twice-1"})
            self.assertEqual(links_of(page), [(7, "b.md#c")])

    def test_the_readme_is_short(self) -> None:
        self.assertLessEqual(len((ROOT / "README.md").read_text().splitlines()), README_LINES)

    def test_lines_are_short(self) -> None:
        """Rows of tables may be longer; code is as long as it is."""
        long = [
            f"{page.relative_to(ROOT)}:{number}: {len(line)} columns"
            for page in PAGES
            if page.parent != DOCS or page.name not in LONG_LINES
            for number, line in text_of(page)
            if len(line) > COLUMNS and not line.lstrip().startswith("|")
        ]
        self.assertEqual(long, [])


if __name__ == "__main__":
    unittest.main()
