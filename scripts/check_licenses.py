"""Checks that docs/licenses.md lists every package that the scripts install, the Python ones in the pinned version.

Usage: check_licenses.py (in the repository's folder)
"""

import re
import sys
from pathlib import Path


def listed(page: str) -> dict[str, str]:
    """Package → version of the tables; rows of several hold their versions in the same order."""
    found = {}
    for row in re.findall(r"^\| ([^|]+) \| ([^|]+) \|", page, re.M):
        names = [re.sub(r" \(.*", "", name) for name in row[0].split(", ") if not name.startswith("of ")]
        versions = row[1].split(", ")
        found.update(zip(names, versions if len(versions) == len(names) else versions[:1] * len(names)))
    return found


def main() -> int:
    page = listed(Path("docs/licenses.md").read_text(encoding="utf-8"))
    problems = []
    for file in ("scripts/requirements.txt", "scripts/requirements-torch.txt"):
        for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", Path(file).read_text(encoding="utf-8"), re.M):
            if page.get(name) != version:
                problems.append(f"docs/licenses.md: {name} is {version} in {file}, here {page.get(name, 'missing')}")
    for script in ("scripts/setup.sh", "scripts/fuzz.sh"):
        for group in re.findall(r"^(?:AXLSTM_MORE_PACKAGES|PACKAGES|OPTIONAL)=\(([^)]*)\)", Path(script).read_text(encoding="utf-8"), re.M):
            problems += [f"docs/licenses.md: {name} of {script} is missing" for name in re.findall(r"(?<!\S)[a-z][\w+.-]+", group) if name not in page]
    print("\n".join(problems) if problems else f"{len(page)} dependencies are listed with their licences")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
