"""What the PyTorch programs have in common: threads, cold data, interleaved timing, JSON Lines."""

import glob
import json
import os
import statistics
import sys
import time

import torch

SAMPLE_SECONDS = 0.02
WARM_UP_SECONDS = 0.2
MAX_CALLS = 1000


def add_options(parser):
    parser.add_argument("--threads", type=int, default=2, help="threads that compute (default 2)")
    parser.add_argument("--repeats", type=int, default=7, help="interleaved rounds; medians count (default 7)")
    parser.add_argument("--warm", action="store_true", help="use the same data in every call, so that caches may keep them")


def numbers(text):
    return [int(part) for part in text.split(",")]


def start(options):
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(1)
    write({
        "type": "header", "peer": "pytorch", "command": " ".join([os.path.basename(sys.argv[0])] + sys.argv[1:]),
        "version": torch.__version__, "threads": torch.get_num_threads(), "processor": processor(),
        "capability": torch.backends.cpu.get_cpu_capability(), "onednn": torch.backends.mkldnn.is_available(),
    })


def write(line):
    print(json.dumps(line), flush=True)


def processor():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "unknown"


def last_level_cache_bytes():
    """All caches of the last level together, as `hydragen bench` counts them."""
    caches = {}
    for folder in glob.glob("/sys/devices/system/cpu/cpu*/cache/index3"):
        try:
            with open(folder + "/shared_cpu_list") as shared, open(folder + "/size") as size:
                text = size.read().strip()
                if text.endswith("K"):
                    caches[shared.read().strip()] = int(text[:-1]) << 10
        except OSError:
            continue
    return sum(caches.values()) if caches else 64 << 20


def count_sets(bytes_per_set, options):
    """So many data sets that all together are twice as large as the last cache."""
    return 1 if options.warm else max(1, -(-2 * last_level_cache_bytes() // bytes_per_set))


def measure(variants, num_sets, repeats):
    """Times variants in turn, A B C A B C; each is called with the index of the data set to use.

    Returns seconds a call for each name, one sample a round."""
    calls, position = {}, {}

    def run(name, count):
        for _ in range(count):
            variants[name](position[name])
            position[name] = (position[name] + 1) % num_sets

    for name in variants:
        position[name] = 0
        begin, count = time.perf_counter(), 0
        while count < 2 or time.perf_counter() - begin < WARM_UP_SECONDS:
            run(name, 1)
            count += 1
        begin = time.perf_counter()
        run(name, 1)
        calls[name] = min(MAX_CALLS, max(1, int(SAMPLE_SECONDS / (time.perf_counter() - begin))))
    samples = {name: [] for name in variants}
    for _ in range(repeats):
        for name in variants:
            if calls[name] > 1:
                run(name, 1)
            begin = time.perf_counter()
            run(name, calls[name])
            samples[name].append((time.perf_counter() - begin) / calls[name])
    return samples


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def check(name, actual, expected, bound):
    """A fast wrong answer is no result. The bound is a share of the largest element."""
    error = (actual.float() - expected).abs().max().item() / expected.abs().max().item()
    if not error <= bound:
        raise SystemExit(f"{name}: off by {error:.2g} of the largest element, more than {bound:.2g}; it computes something else.")
    return error
