"""docs/benchmarks.md: what is measured is put between two comments that name it, and the sentences around them stay."""
import os
import pathlib

PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"


def section_put(page, name, lines):
    begin, end = f"<!-- {name}: printed -->\n", f"<!-- {name}: end -->\n"
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page} has no place for `{name}`")
    page.write_text(before + begin + "\n" + "\n".join(lines) + "\n\n" + end + after)


def table(head, rows):
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]


def short(value):
    """Three digits that count: 1.23 M, 456 k, 78.9."""
    for prefix in ("", " k", " M"):
        if value < 999.5:
            break
        value /= 1000
    else:
        prefix = " G"
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}{prefix}"


def machine():
    """What the figures depend on and nobody chose."""
    processor = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "a processor")
    return f"{os.cpu_count()} cores of {processor}, Linux {os.uname().release.split('-')[0]}"


def load():
    """How many others wanted the processor in the last minute."""
    return os.getloadavg()[0]
