"""Writes the options of all programs into docs/commands.md, from their --help.

Usage: commands_reference.py [--bin build/ci/bin] [--page docs/commands.md]

The programs are the rows of the page's first table. What stands behind the line MARK is replaced.
"""

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MARK = "<!-- From here on written by scripts/commands_reference.py, which takes it from --help. -->"
NAME_COLUMNS = 28
SECTIONS = {"Positionals:", "Options:", "Subcommands:"}


@dataclass
class Entry:
    name: str
    text: str
    group: str = ""


@dataclass
class Help:
    """What `PROGRAM --help` prints, in parts."""

    command: str
    description: list[str] = field(default_factory=list)
    usage: str = ""
    sections: dict[str, list[Entry]] = field(default_factory=dict)

    def options(self) -> set[str]:
        """All names that may stand on a command line: -c, --config, …"""
        return {name for entry in self.sections["Options:"] for name in entry.name.split(" ")[0].split(",")}

    def subcommands(self) -> list[str]:
        return [entry.name for entry in self.sections.get("Subcommands:", [])]


def parse_help(command: str, printed: str) -> Help:
    parsed, section, group = Help(command), "", ""
    lines = printed.splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        indent = len(line) - len(line.lstrip(" "))
        heading = re.fullmatch(r"\[Option Group: (.*)\]", line)
        if heading:
            section, group = "Options:", heading[1]
        elif line.startswith("Usage: "):
            # CLI11 prints the path by which the program was called.
            parsed.usage = re.sub(r"^Usage: \S*/", "", line).removeprefix("Usage: ")
            section = "Usage"
        elif line.strip() in SECTIONS:
            section = line.strip()
            parsed.sections.setdefault(section, [])
        elif line.strip() and not section:
            parsed.description.append(line)
        elif line.strip() and section not in SECTIONS:
            raise ValueError(f"{command} --help: a line outside of any section: '{line}'")
        elif line.strip() and indent <= 4:
            column = indent + NAME_COLUMNS
            # A longer name stands on a line of its own, with its text below.
            alone = section == "Options:" and after.startswith(" " * column)
            name, text = (line.strip(), "") if alone else (line[:column].strip(), line[column:].strip())
            name = re.sub(r"\{\w+\}$", "", name)  # how CLI11 marks a flag that means false
            parsed.sections[section].append(Entry(name, text, group if indent == 4 else ""))
        elif line.strip():
            entry = parsed.sections[section][-1]
            entry.text = f"{entry.text} {line.strip()}".strip()
    if not parsed.usage or "Options:" not in parsed.sections:
        raise ValueError(f"{command} --help: no usage or no options in what it prints:\n{printed}")
    return parsed


def help_of(folder: Path, command: str) -> Help:
    program, *subcommand = command.split(" ")
    result = subprocess.run([folder / program, *subcommand, "--help"], capture_output=True, text=True, check=True)
    return parse_help(command, result.stdout)


def programs_of(page: str) -> list[str]:
    """The first column of the page's first table."""
    rows = page.partition("| --- |")[2].partition("\n\n")[0].splitlines()[1:]
    return [re.fullmatch(r"\| `([^`]+)` \|.*", row)[1] for row in rows]


def all_help(folder: Path, page: str) -> list[Help]:
    """Of every program and its subcommands."""
    found = []
    for program in programs_of(page):
        own = help_of(folder, program)
        found += [own, *(help_of(folder, f"{program} {name}") for name in own.subcommands())]
    return found


def code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def in_cell(text: str) -> str:
    """Text that Markdown shows as it is, in a row of a table."""
    return re.sub(r"([|<>*])", r"\\\1", text)


def table(entries: list[Entry]) -> list[str]:
    lines, group = ["| option | meaning |", "| --- | --- |"], ""
    for entry in entries:
        if entry.group != group:
            group = entry.group
            lines.append(f"| **{group}** | |")
        lines.append(f"| {code(entry.name)} | {in_cell(entry.text)} |")
    return lines


def entries_of(one: Help) -> list[Entry]:
    return one.sections.get("Positionals:", []) + one.sections["Options:"]


def markdown(found: list[Help]) -> str:
    """What all programs have first, then the rest of each."""
    programs = [entries_of(one) for one in found if " " not in one.command]
    common = [entry for entry in programs[0] if all(entry in entries for entries in programs)]
    lines = ["## Options", "", "Every program has:", "", *table(common)]
    for one in found:
        lines += ["", f"### {one.command}", "", "```text", *one.description, "", one.usage, "```", ""]
        lines += table([entry for entry in entries_of(one) if entry not in common])
    return "\n".join(lines) + "\n"


def with_reference(page: str, folder: Path) -> str:
    """The page with the options that the programs in `folder` have."""
    if MARK not in page:
        raise ValueError(f"the page has no line '{MARK}'")
    kept = page.partition(MARK)[0]
    return kept + MARK + "\n\n" + markdown(all_help(folder, page))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=ROOT / "build/ci/bin", help="folder of the programs")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/commands.md")
    arguments = parser.parse_args()
    try:
        page = with_reference(arguments.page.read_text(encoding="utf-8"), arguments.bin)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"commands_reference.py: {error}")
    arguments.page.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
