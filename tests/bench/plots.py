# SPDX-License-Identifier: GPL-2.0
"""The plots of bench.json, as SVG: processor time over the size of a request, the peers' over
ours with the size from which mapping pays, and what more connections, threads and room do.

    tests/rig/enter python3 -B tests/bench/plots.py [bench.json [FOLDER [svg|png]]]"""
import json
import os
import sys

import matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: E402

import plan  # noqa: E402

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

# Okabe and Ito's colours, told apart by all eyes; with a marker of its own for each way.
OURS = [("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "D"), ("#CC79A7", "P")]
COPYING = ("#000000", "x")
PEERS = [("#E69F00", "^"), ("#56B4E9", "v"), ("#8C8C8C", "<"), ("#7B4B94", ">"), ("#9A6324", "*"), ("#BFA500", "h")]

matplotlib.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "zcio", "font.size": 9, "axes.titlesize": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6, "legend.frameon": False, "figure.facecolor": "white",
})


def bytes_text(size):
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= 4 * unit or size == unit:
            value = size / unit
            return f"{value:.0f} {name}" if value == int(value) or value >= 10 else f"{value:.1f} {name}"
    return f"{size:.0f} B"


def whole(value):
    return f"{value:.0f}"


def path_text(path):
    return path[0] if path[0] == "lo" else f"{path[0]}, MTU {path[1]}"


def paths_of(cells):
    return list(dict.fromkeys((cell["nic"], cell["mtu"]) for cell in cells))


def looks(ways, copying):
    """Of each way: colour, marker and how it is drawn, the same in all plots of a job."""
    found, ours, peers = {}, 0, 0
    for way in ways:
        if plan.is_ours(way):
            (color, marker), ours = OURS[ours % len(OURS)], ours + 1
            found[way] = {"color": color, "marker": marker, "linewidth": 2.6, "markersize": 6, "zorder": 5}
        elif way == copying:
            found[way] = {"color": COPYING[0], "marker": COPYING[1], "linewidth": 1.5, "markersize": 6,
                          "linestyle": "--", "zorder": 4}
        else:
            (color, marker), peers = PEERS[peers % len(PEERS)], peers + 1
            found[way] = {"color": color, "marker": marker, "linewidth": 1.2, "markersize": 5, "zorder": 3}
    return found


def grid(count, rows=1, height=3.1):
    """Axes for so many paths, beside each other; `rows` for each."""
    columns = min(count, 3)
    lines = -(-count // columns) * rows
    figure, axes = plt.subplots(lines, columns, figsize=(max(4.1 * columns, 6.4), height * lines + 1.1), squeeze=False,
                                layout="constrained")
    # Of path i and row r: below each other, whole lines of paths after each other.
    found = [[axes[i // columns * rows + r][i % columns] for i in range(count)] for r in range(rows)]
    used = {id(a) for row in found for a in row}
    for a in axes.flat:
        if id(a) not in used:
            a.remove()
    return figure, found


def curve(axes, points, label, look):
    """A line through medians, with the quartiles as a band."""
    points = sorted(points)
    xs = [x for x, _ in points]
    axes.plot(xs, [s["median"] for _, s in points], label=label, **look)
    axes.fill_between(xs, [s["q1"] for _, s in points], [s["q3"] for _, s in points], color=look["color"],
                      alpha=0.18 if look["linewidth"] > 2 else 0.10, linewidth=0, zorder=look["zorder"] - 2)


def ticks(low, high, steps):
    """Round numbers from low to high, on a logarithmic scale."""
    found, power = [], -3
    while 10 ** power <= high * 1.01:
        found += [step * 10 ** power for step in steps if low * 0.99 <= step * 10 ** power <= high * 1.01]
        power += 1
    return found


def scale_y(axes_row, from_zero=False):
    """The same scale for a row, with numbers that can be read; logarithmic."""
    if from_zero:
        for axes in axes_row:
            axes.set_ylim(bottom=0)
        return
    low = min(axes.dataLim.y0 for axes in axes_row)
    high = max(axes.dataLim.y1 for axes in axes_row)
    low, high = low / 1.25, high * 1.25
    steps = (1, 2, 5) if high / low > 4 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    for axes in axes_row:
        axes.set_yscale("log")
        axes.set_ylim(low, high)
        axes.yaxis.set_major_locator(FixedLocator(ticks(low, high, steps)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.7g}".replace(",", " ")))


def scale_x(axes, xs, text, label):
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(xs))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axes.set_xlim(min(xs) / 1.35, max(xs) * 1.35)
    axes.set_xlabel(label)


def legend(figure, axes_list):
    found = {}
    for axes in axes_list:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            found.setdefault(label, handle)
    columns = min(len(found), 4, int(figure.get_figwidth() / 2.1))
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=columns)


def values(cells, way, name, x):
    found = []
    for cell in cells:
        spread = cell["ways"].get(way, {}).get("figures", {}).get(name)
        if spread:
            found.append((cell[x], spread))
    return found


def thousands(cells, way):
    """Of instructions, by size."""
    return [(cell["size"], {name: cell["ways"][way]["instructions"]["per_mb"][name] / 1000
                            for name in ("median", "q1", "q3")})
            for cell in cells if "instructions" in cell["ways"].get(way, {})]


def title_of(bench, job, text):
    guest = bench["rig"].get("guest", {})
    return f"{job}: {text}\nLinux {bench['rig']['kernel']}, {guest.get('accelerator', '?')}, medians and quartiles"


class Job:
    """One job's cells with the ordinary sender, and how its ways look."""

    def __init__(self, bench, job):
        self.bench, self.job = bench, job
        self.cells = [cell for cell in bench["cells"] if cell["job"] == job and plan.ordinary(cell)]
        self.ways = list(dict.fromkeys(way for cell in self.cells for way in cell["ways"]))
        self.copying = plan.copying_way(job, self.ways)
        self.looks = looks(self.ways, self.copying)
        self.reference = plan.reference(self.cells)
        self.usual = self.reference["connections"]
        self.cost = "side_us_per_mb" if job in plan.RELAY_JOBS else "cpu_us_per_mb"
        self.whose = "relay's side" if job in plan.RELAY_JOBS else "process"

    def sizes(self):
        """The cells over whose sizes a curve can go."""
        return [cell for cell in self.cells if cell["connections"] == self.usual]

    def at(self, path, cells):
        return [cell for cell in cells if (cell["nic"], cell["mtu"]) == path]

    def note(self):
        return f", {self.usual} connections" if self.usual > 1 else ""

    def over_sizes(self, cells, points_of, label, title):
        """A curve for each way; `points_of` gives a way's in some cells."""
        sizes = sorted({cell["size"] for cell in cells})
        if len(sizes) < 2:
            return None
        paths = paths_of(cells)
        figure, (axes,) = grid(len(paths))
        for path, one in zip(paths, axes):
            for way in self.ways:
                points = points_of(self.at(path, cells), way)
                if points:
                    curve(one, points, way, self.looks[way])
            one.set_title(path_text(path))
            scale_x(one, sizes, bytes_text, "bytes of a request")
            one.set_ylabel(label)
        scale_y(axes)
        legend(figure, axes)
        figure.suptitle(title_of(self.bench, self.job, title + self.note()))
        return figure

    def plot_cpu(self):
        # What is of another kind on some paths has no place beside the others.
        cells = [cell for cell in self.sizes() if plan.cost(cell) == self.cost]
        return self.over_sizes(cells, lambda cells, way: values(cells, way, self.cost, "size"),
                               "µs of CPU per MB", f"processor time of the {self.whose}")

    def plot_instructions(self):
        cells = [cell for cell in self.sizes() if any("instructions" in way for way in cell["ways"].values())]
        return self.over_sizes(cells, thousands, "thousand instructions per MB", f"instructions of the {self.whose}")

    def pairs(self):
        """Ours with peers: the first of ours with all, the others with the way that copies."""
        ours = [way for way in self.ways if plan.is_ours(way)]
        peers = [way for way in self.ways if not plan.is_ours(way)]
        return [(way, peer) for i, way in enumerate(ours) for peer in peers if i == 0 or peer == self.copying]

    def ratios(self, cells, ours, peer):
        return [(cell["size"], pair["peer_over_ours"][self.cost]) for cell in cells for pair in cell["ratios"]
                if (pair["ours"], pair["peer"]) == (ours, peer) and self.cost in pair["peer_over_ours"]]

    def plot_ratio(self):
        cells = [cell for cell in self.sizes() if plan.cost(cell) == self.cost]
        sizes = sorted({cell["size"] for cell in cells})
        if len(sizes) < 2 or not any(cell["ratios"] for cell in cells):
            return None
        paths = paths_of(cells)
        figure, (axes,) = grid(len(paths))
        for path, one in zip(paths, axes):
            for ours, peer in self.pairs():
                points = self.ratios(self.at(path, cells), ours, peer)
                if points:
                    # The copying way's curves are those of the crossover: in the colours of ours.
                    copies = peer == self.copying
                    look = self.looks[ours if copies else peer]
                    curve(one, points, f"{peer} / {ours}", {**look, "linewidth": 2.6 if copies else 1.2})
            one.set_title(path_text(path))
            scale_x(one, sizes, bytes_text, "bytes of a request")
            one.set_ylabel("CPU of the peer / ours")
        scale_y(axes)
        for path, one in zip(paths, axes):
            low, high = one.get_ylim()
            one.set_ylim(min(low, 0.8), max(high, 1.25))
            one.axhline(1, color="#333333", linewidth=1.4, zorder=2)
            one.axhspan(1, one.get_ylim()[1], color="#0072B2", alpha=0.05, zorder=0)
            one.text(0.02, 0.98, "above the line zcio takes less", transform=one.transAxes, va="top",
                     fontsize=8, color="#333333")
            self.mark(path, one, sizes)
        legend(figure, axes)
        figure.suptitle(title_of(self.bench, self.job, "processor time of each peer, over ours" + self.note()))
        return figure

    def mark(self, path, axes, sizes):
        """The sizes from which on mapping beats copying."""
        found = [c for c in self.bench["crossovers"] if (c["nic"], c["mtu"]) == path and c["size"]
                 and (c["job"], c["connections"]) == (self.job, self.usual) and plan.ordinary(c)]
        for i, c in enumerate(found):
            color = self.looks[c["ours"]]["color"]
            axes.plot([c["from"] or c["size"], c["to"] or sizes[-1]], [1, 1], color=color, linewidth=4, alpha=0.5,
                      zorder=6, solid_capstyle="butt")
            axes.plot([c["size"]], [1], marker="|", markersize=18, markeredgewidth=2.5, color=color, zorder=7)
            text = bytes_text(c["size"]) if c["size"] > c["sizes"][0] else f"≤ {bytes_text(c['size'])}"
            axes.annotate(text, (c["size"], 1), xytext=(4, -16 - 12 * i), textcoords="offset points", color=color,
                          fontweight="bold", fontsize=8, zorder=8,
                          bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1})

    def growth(self, cells, x, tick, title):
        """What becomes of it as `x` of a cell grows, on the paths where it does."""
        size = self.reference["size"]
        cells = [cell for cell in cells if cell["size"] == size]
        paths = [path for path in paths_of(cells) if len({cell[x] for cell in self.at(path, cells)}) > 1]
        if not paths:
            return None
        numbers = sorted({cell[x] for path in paths for cell in self.at(path, cells)})
        cells = [cell for cell in cells if plan.cost(cell) == self.cost]
        rows = [(self.cost, "µs of CPU per MB"), ("p99_us", "99th percentile, µs")]
        rows = [row for row in rows if any(values(cells, way, row[0], x) for way in self.ways)]
        figure, axes = grid(len(paths), len(rows), 2.6)
        for (name, label), row in zip(rows, axes):
            for path, one in zip(paths, row):
                for way in self.ways:
                    points = values(self.at(path, cells), way, name, x)
                    if points:
                        curve(one, points, way, self.looks[way])
                one.set_title(path_text(path))
                scale_x(one, numbers, tick, x)
                one.set_ylabel(label)
            scale_y(row)
        legend(figure, [one for row in axes for one in row])
        figure.suptitle(title_of(self.bench, self.job, f"{title}, requests of {bytes_text(size)}"))
        return figure

    def plot_connections(self):
        return self.growth(self.cells, "connections", whole, "more connections")

    def plot_threads(self):
        cells = [cell for cell in self.bench["cells"] if cell["job"] == self.job and cell["threads"]]
        return self.growth(cells, "threads", whole, "more threads, a connection each")

    def plot_room(self):
        cells = [cell for cell in self.bench["cells"] if cell["job"] == self.job and cell["room"]]
        return self.growth(cells, "room", bytes_text, "larger windows and pools")

    def plots(self):
        yield f"cpu-{self.job}", self.plot_cpu
        yield f"instructions-{self.job}", self.plot_instructions
        yield f"ratio-{self.job}", self.plot_ratio
        yield f"connections-{self.job}", self.plot_connections
        yield f"threads-{self.job}", self.plot_threads
        yield f"room-{self.job}", self.plot_room


def draw(bench, folder, ending="svg"):
    """All plots that the cells give; their names, without the ending."""
    os.makedirs(folder, exist_ok=True)
    names = []
    for job in dict.fromkeys(cell["job"] for cell in bench["cells"] if plan.ordinary(cell)):
        for name, make in Job(bench, job).plots():
            figure = make()
            if figure:
                # Nothing of when and by what: the same figures give the same file.
                more = {"metadata": dict.fromkeys(("Date", "Creator", "Format", "Type"))} if ending == "svg" \
                    else {"dpi": 110}
                figure.savefig(os.path.join(folder, f"{name}.{ending}"), **more)
                plt.close(figure)
                names.append(name)
    return names


def main(source=os.path.join(TOP, "build", "results", "bench.json"),
         folder=os.path.join(TOP, "build", "results", "plots"), ending="svg"):
    with open(source, encoding="utf-8") as file:
        bench = json.load(file)
    for name in draw(bench, folder, ending):
        print(os.path.join(folder, f"{name}.{ending}"))


if __name__ == "__main__":
    main(*sys.argv[1:])
