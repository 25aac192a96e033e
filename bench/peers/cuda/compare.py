"""Prints the tables of run.sh: ours, the best of PyTorch's variants, and what was measured elsewhere on the same GPU model.

Usage: compare.py FOLDER. Reads published.ROUND.ours.jsonl and published.ROUND.pytorch.jsonl, and elsewhere.json beside this file; needs
nothing but Python."""

import glob
import json
import math
import os
import re
import statistics
import sys


def read(path):
    with open(path) as file:
        return [json.loads(line) for line in file if line.strip()]


def rounds(folder, side):
    """Lines of each round, in order."""
    paths = glob.glob(os.path.join(glob.escape(folder), f"published.*.{side}.jsonl"))
    return [read(path) for path in sorted(paths, key=lambda path: int(re.search(r"\.(\d+)\.[\w-]+\.jsonl$", path)[1]))]


def key(line):
    """The configuration that a line is of."""
    return tuple(line[name] for name in ("batch", "prefix", "generated", "heads", "kv_heads"))


def steps(all_rounds):
    """Microseconds of each round, for each configuration, mode and variant."""
    found = {}
    for lines in all_rounds:
        for line in lines:
            if line["type"] == "published" and "step_ms" in line:
                found.setdefault((key(line), line["mode"], line.get("variant", "")), []).append(line["step_ms"] * 1e3)
    return found


def best(theirs, what, mode):
    """The variant with the least median, or None."""
    candidates = {name: values for (config, form, name), values in theirs.items() if (config, form) == (what, mode)}
    return min(candidates.items(), key=lambda item: statistics.median(item[1])) if candidates else None


def ratio_text(numerators, denominators):
    """Round by round where there are as many of both."""
    if len(numerators) != len(denominators):
        return f"{statistics.median(numerators) / statistics.median(denominators):.2f}"
    ratios = [a / b for a, b in zip(numerators, denominators)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if len(ratios) > 1 else f"{ratios[0]:.2f}"


def row(cells):
    print("| " + " | ".join(cells) + " |")


def name_of(what):
    batch, prefix, generated, heads, kv_heads = what
    return [str(batch), str(prefix), str(generated), f"{heads}/{kv_heads}"]


def step_table(ours, theirs, elsewhere):
    columns = list(elsewhere["columns"])
    titles = ["B", "P", "N", "heads", "ours µs", "limit µs", "PyTorch decomposed", "µs", "× ours", "PyTorch copied", "µs", "ours copied µs"]
    titles += [part for column in columns for part in (f"{column} µs*", "× ours")]
    row(titles)
    print("|" + "---|" * len(titles))
    quoted = {key(line): line for line in elsewhere["rows"]}
    mine = steps(ours)
    ratios = {}
    for line in ours[0]:
        if line["type"] != "published" or line["mode"] != "hydragen":
            continue
        what = key(line)
        own = mine.get((what, "hydragen", ""))
        if own is None:
            row(name_of(what) + ["does not fit"] + [""] * (len(titles) - 5))
            continue
        step = statistics.median(own)
        cells = name_of(what) + [f"{step:.1f}", f"{line['limit_ms'] * 1e3:.1f}" if "limit_ms" in line else ""]
        decomposed, copied = best(theirs, what, "decomposed"), best(theirs, what, "copied")
        own_copies = mine.get((what, "copied", ""))
        cells += [decomposed[0], f"{statistics.median(decomposed[1]):.1f}", ratio_text(decomposed[1], own)] if decomposed else ["", "", ""]
        cells += [copied[0], f"{statistics.median(copied[1]):.1f}"] if copied else ["", ""]
        cells += [f"{statistics.median(own_copies):.1f}"] if own_copies else [""]
        if decomposed:
            ratios.setdefault("PyTorch decomposed", []).append(statistics.median(decomposed[1]) / step)
        for column in columns:
            other = quoted.get(what, {}).get(column)
            cells += [f"{other}", f"{other / step:.2f}"] if other else ["", ""]
            if other:
                ratios.setdefault(column, []).append(other / step)
        row(cells)
    print()
    for name, values in ratios.items():
        mean = math.exp(statistics.fmean(math.log(value) for value in values))
        print(f"× ours, {name}: geometric mean {mean:.2f}, least {min(values):.2f}, of {len(values)} configurations.")
    print(f"\n* {elsewhere['what']} " + "; ".join(f"{name}: {text}" for name, text in elsewhere["columns"].items()) + ".")


def parts_table(ours, theirs):
    """The two parts of a step alone, at the last suffix: TFLOP/s of the prefix, TB/s of the suffixes."""
    mine, peers = {}, {}
    for lines in ours:
        for line in lines:
            if line["type"] == "attention" and line["mode"] in ("nodes", "sequences") and "ms" in line:
                rate = line["gflops"] if line["mode"] == "nodes" else line["gbps"]
                mine.setdefault((key(line), line["mode"]), []).append(rate / 1e3)
    for lines in theirs:
        for line in lines:
            if line["type"] == "parts" and "prefix_tflops" in line:
                peers.setdefault((key(line), line["variant"]), []).append((line["prefix_tflops"], line["suffix_tbps"]))
    names = sorted({variant for _, variant in peers})
    row(["B", "P", "N", "heads", "ours prefix TFLOP/s"] + [f"{name}" for name in names] + ["ours suffix TB/s"] + names)
    print("|" + "---|" * (6 + 2 * len(names)))
    for what in dict.fromkeys(config for config, _ in mine):
        cells = name_of(what) + [middle(mine.get((what, "nodes")), ".0f")]
        cells += [middle([pair[0] for pair in peers.get((what, name), [])], ".0f") for name in names]
        cells += [middle(mine.get((what, "sequences")), ".2f")]
        cells += [middle([pair[1] for pair in peers.get((what, name), [])], ".2f") for name in names]
        row(cells)


def middle(values, form):
    return f"{statistics.median(values):{form}}" if values else ""


def main():
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        raise SystemExit(__doc__)
    ours, theirs = rounds(sys.argv[1], "ours"), rounds(sys.argv[1], "pytorch")
    if not ours or len(ours) != len(theirs):
        raise SystemExit(f"{len(ours)} rounds of ours, but {len(theirs)} of PyTorch; run.sh did not end.")
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "elsewhere.json"), encoding="utf-8") as file:
        elsewhere = json.load(file)
    mine, peers = ours[0][0], theirs[0][0]
    print(f"{mine.get('backend', '')}, {mine.get('software', '')}, {mine.get('runtime', '')}; PyTorch {peers.get('version', '')}, cuDNN {peers.get('cudnn', '')}, "
          f"Triton {peers.get('triton', '')}. {len(ours)} rounds; medians; × is theirs : ours.\n")
    step_table(ours, steps(theirs), elsewhere)
    print()
    parts_table(ours, theirs)
    errors = [line["max_error"] for lines in theirs for line in lines if line["type"] == "agreement" and line["max_error"] is not None]
    if errors:
        print(f"\nOurs agrees with an FP32 reference in {len(errors)} comparisons: at most {max(errors):.1e} of the largest element.")
    for line in theirs[0]:
        if "skipped" in line:
            print(f"\nNot run: batch {line['batch']}, prefix {line['prefix']}, {line.get('mode', 'parts')} {line.get('variant', '')}: {line['skipped']}")


if __name__ == "__main__":
    main()
