"""Draws what `arts bench migration --sizes ... --json` measured, for the page on performance.

pip install --group plots
python docs/plot.py RESULT.json docs/explanation/migration.svg
"""

import json
import re
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

KEY = re.compile(r"(?P<way>\w+?)_(?P<size>[\d.]+)mib_(?P<rate>[\d.]+)mbps_p50_ms")
WAYS = {
    "stop": "everything at once",
    "precopy": "ahead, by the broker",
    "direct": "ahead, direct",
    "back": "ahead, to where it has been",
}
STYLES = {"stop": ":", "precopy": "-", "direct": "--", "back": "-."}


def lines_of(result: dict[str, object]) -> dict[tuple[str, float], list[tuple[float, float]]]:
    """(way, MB/s) -> [(MiB, median downtime in ms)], in order of size."""
    lines: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for key, value in result.items():
        if found := KEY.fullmatch(key):
            line = lines.setdefault((found["way"], float(found["rate"])), [])
            line.append((float(found["size"]), float(str(value))))
    return {key: sorted(points) for key, points in lines.items()}


def draw(result: dict[str, object], target: Path) -> None:
    """Write the plot."""
    mpl.rcParams["svg.hashsalt"] = "arts"
    lines = lines_of(result)
    rates = sorted({rate for _, rate in lines})
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for (way, rate), points in lines.items():
        colour = f"C{rates.index(rate)}"
        label = f"{WAYS[way]}, {rate:g} MB/s written"
        axes.plot(*zip(*points, strict=True), STYLES[way], marker="o", color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel="memory, MiB", ylabel="standing still, ms (median)")
    axes.set_xticks(sizes := sorted({x for points in lines.values() for x, _ in points}))
    axes.set_xticklabels([f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.set_ylim(top=5e4)  # room for the legend
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
