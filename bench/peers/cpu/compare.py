"""Prints the tables of run.sh and llama.sh: every round of ours against the round of others that followed it.

Usage: compare.py FOLDER. Reads NAME.ROUND.ours.jsonl and NAME.ROUND.OTHER.jsonl; needs nothing but Python."""

import glob
import json
import os
import re
import statistics
import sys


def read(path):
    with open(path) as file:
        return [json.loads(line) for line in file if line.strip()]


def key(line):
    """What a measurement is of."""
    if line["type"] == "attention":
        return line["mode"], line["prefix"]
    return (line["rows"],)


def rounds(folder, name, side):
    """Lines of each round, in order."""
    paths = glob.glob(os.path.join(glob.escape(folder), f"{name}.*.{side}.jsonl"))
    return [read(path) for path in sorted(paths, key=lambda path: int(re.search(r"\.(\d+)\.[\w-]+\.jsonl$", path)[1]))]


def medians(all_rounds, name):
    """Milliseconds of each round, for each measurement and variant in order of appearance."""
    found = {}
    for lines in all_rounds:
        for line in lines:
            if line["type"] == name and "ms" in line:
                found.setdefault((key(line), line.get("variant", "")), []).append(line["ms"]["median"])
    return found


def text(values, form):
    return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


def header(all_rounds):
    return all_rounds[0][0] if all_rounds and all_rounds[0] else {}


def table(folder, name, titles):
    ours, theirs = rounds(folder, name, "ours"), rounds(folder, name, "pytorch")
    if not ours or not theirs:
        return
    if len(ours) != len(theirs):
        raise SystemExit(f"{name}: {len(ours)} rounds of ours, but {len(theirs)} of PyTorch; run.sh did not end.")
    mine, peers = header(ours), header(theirs)
    print(f"\n{name}: {peers.get('processor', '')}, {peers.get('threads', '')} threads, {len(ours)} rounds. "
          f"Ours: {mine.get('backend', '') or instruction_set(ours[0])}, {mine.get('runtime', '')}. PyTorch {peers.get('version', '')}, {peers.get('capability', '')}. "
          "Median of the rounds' medians, with their range; × is PyTorch : ours, round by round.\n")
    print("| " + " | ".join(titles + ["ours ms", "PyTorch", "PyTorch ms", "× ours", ""]) + " |")
    print("|" + "---|" * (len(titles) + 5))
    our_times, their_times = medians(ours, name), medians(theirs, name)
    best = {}
    for (what, variant), times in their_times.items():
        if what not in best or statistics.median(times) < statistics.median(their_times[what, best[what]]):
            best[what] = variant
    for (what, variant), times in their_times.items():
        own = our_times.get((what, ""))
        complete = own is not None and len(own) == len(times)
        ratios = [theirs / own for theirs, own in zip(times, own)] if complete else []
        cells = [str(part) for part in what] + [
            text(own, ".3f") if own else "not run", variant, text(times, ".3f"), text(ratios, ".2f") if ratios else "", "best" if best[what] == variant else ""]
        print("| " + " | ".join(cells) + " |")
    noisy = [state(line) for lines in ours for line in lines if line["type"] == name and state(line) is not None]
    if noisy:
        print(f"\nOurs was measured on a quiet machine in {sum(noisy)} of {len(noisy)} points.")


def generation_table(folder):
    ours = rounds(folder, "generate", "ours")
    others = {side: rounds(folder, "generate", side) for side in ("llama-q8_0", "llama-bf16")}
    others = {side: lines for side, lines in others.items() if lines}
    if not ours or not others:
        return
    mine = speeds(ours, lambda line: (line["prefix"], line["batch"]) if line.get("mode") == "hydragen" and "skipped" not in line else None,
                  lambda line: (line["decode_tokens_per_second"]["median"], line["prefill_tokens_per_second"]["median"]))
    print(f"\ngenerate: {len(ours)} rounds. Ours: {header(ours).get('backend', '')}, BF16, {header(ours).get('processor', '')}. "
          "Tokens a second of all sequences, median of the rounds with their range; × is ours : theirs, round by round, over the rounds that both printed.\n")
    print("| prefix | batch | rounds | ours decode | llama.cpp | decode | × decode | ours prefill | prefill | × prefill |")
    print("|" + "---|" * 10)
    for side, all_rounds in others.items():
        if len(all_rounds) != len(ours):
            raise SystemExit(f"generate: {len(ours)} rounds of ours, but {len(all_rounds)} of {side}; llama.sh did not end.")
        theirs = speeds(all_rounds, lambda line: (line["pp"], line["pl"]), lambda line: (line["speed_tg"], line["speed_pp"]))
        for what, values in theirs.items():
            both = sorted(values.keys() & mine.get(what, {}).keys())
            if not both:
                continue
            decode, prefill = zip(*[values[number] for number in both])
            our_decode, our_prefill = zip(*[mine[what][number] for number in both])
            cells = [str(part) for part in what] + [
                str(len(both)),
                text(our_decode, ".0f"), side.removeprefix("llama-"), text(decode, ".0f"), text([a / b for a, b in zip(our_decode, decode)], ".2f"),
                text(our_prefill, ".0f"), text(prefill, ".0f"), text([a / b for a, b in zip(our_prefill, prefill)], ".2f")]
            print("| " + " | ".join(cells) + " |")


def speeds(all_rounds, what, values):
    """Values for each measurement and number of a round."""
    found = {}
    for number, lines in enumerate(all_rounds):
        for line in lines:
            if line.get("type", "generate") == "generate" and what(line) is not None:
                found.setdefault(what(line), {})[number] = values(line)
    return found


def state(line):
    """Whether the machine was quiet, or None when the line does not say."""
    if "machine_state" in line:
        return line["machine_state"]["quiet"]
    if "quiet_rounds" in line:
        return line["quiet_rounds"] * 2 > len(line["samples_ms"])
    return None


def instruction_set(lines):
    return next((line["instruction_set"] for line in lines if "instruction_set" in line), "")


def main():
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        raise SystemExit(__doc__)
    table(sys.argv[1], "attention", ["mode", "prefix"])
    table(sys.argv[1], "linear", ["rows"])
    generation_table(sys.argv[1])


if __name__ == "__main__":
    main()
