"""One decode step of attention over a shared prefix on an NVIDIA GPU by PyTorch's kernels, BF16, as CUDA graphs.

Decomposed: the prefix once for all sequences, with the batch and the GQA group folded into the query length, then each sequence's own
tokens, then a merge by log-sum-exp in FP32. Copied: every sequence has a copy of the prefix. FlashAttention-2 and cuDNN, each where it
runs. Every variant is compared with an FP32 reference, and so is what `hydragen bench attention --outputs` left, before times count.
One JSON line a configuration and variant."""

import argparse
import json
import os
import statistics
import sys

import torch

import cache_numbers as numbers

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

# 16-bit outputs of 16-bit weights: a few roundings of eight significant bits, as a share of the largest element.
BOUND = 2e-2
FLUSH_BYTES = 256 << 20
SAMPLED_ROWS = 32
SAMPLE_SECONDS, MAX_CALLS = 0.004, 20
DIM = 128

# Batch, prefix, generated tokens, query heads, key/value heads: the published configurations.
CONFIGURATIONS = [
    (64, 1024, 512, 32, 32), (64, 2048, 512, 32, 32), (256, 2048, 512, 32, 32), (256, 2048, 1024, 32, 32), (256, 4096, 1024, 32, 32),
    (512, 2048, 512, 32, 8), (512, 4096, 512, 32, 8), (1024, 4096, 512, 32, 8), (1024, 8192, 512, 32, 8), (1024, 16384, 512, 32, 8),
]


def flash(query, key, value):
    """Output and log-sum-exp of FlashAttention-2; [b, h, rows, dim] and [b, h, rows]."""
    return torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, 0.0, False)[:2]


def cudnn(query, key, value):
    """The same of cuDNN."""
    output, log_sum_exp = torch.ops.aten._scaled_dot_product_cudnn_attention(query, key, value, None, True, 0.0, False)[:2]
    return output, log_sum_exp.reshape(output.shape[:3])


KERNELS = {"flash": flash, "cudnn": cudnn}

if triton:

    @triton.jit
    def merge_kernel(
            prefix, prefix_lse, own, own_lse, result, kv_heads, group, prefix_head, prefix_row, prefix_lse_head, prefix_lse_row,
            own_batch, own_head, own_row, own_lse_batch, own_lse_head, own_lse_row, DIM: tl.constexpr):
        """One program a head of a row; the names after group are strides."""
        program = tl.program_id(0)
        batch, head, row = program // group // kv_heads, program // group % kv_heads, program % group
        column = tl.arange(0, DIM)
        share = tl.sigmoid(
            tl.load(prefix_lse + head * prefix_lse_head + (batch * group + row) * prefix_lse_row)
            - tl.load(own_lse + batch * own_lse_batch + head * own_lse_head + row * own_lse_row))
        left = tl.load(prefix + head * prefix_head + (batch * group + row) * prefix_row + column).to(tl.float32)
        right = tl.load(own + batch * own_batch + head * own_head + row * own_row + column).to(tl.float32)
        tl.store(result + program * DIM + column, (right + share * (left - right)).to(tl.bfloat16))


class Case:
    """A configuration: the queries and keys and values, of which `copies` is made when it is first asked for."""

    def __init__(self, configuration, device):
        self.batch, self.prefix, self.generated, self.heads, self.kv_heads = configuration
        self.group, self.device = self.heads // self.kv_heads, device
        self.suffixes = [1, self.generated // 4, self.generated // 2, self.generated * 3 // 4, self.generated]
        self.query = numbers.rows([numbers.QUERY_STREAM], range(self.batch), self.heads, numbers.QUERY, DIM, device)[0]
        self.prefix_pair = [self.part([numbers.PREFIX_STREAM], self.prefix, kind) for kind in (numbers.KEY, numbers.VALUE)]
        self.own_pair = [self.many(kind) for kind in (numbers.KEY, numbers.VALUE)]
        self.result = torch.empty_like(self.query)
        self.folded = torch.empty(1, self.kv_heads, self.batch * self.group, DIM, dtype=self.query.dtype, device=device)
        self._copies = None

    def part(self, streams, tokens, kind):
        return numbers.rows(streams, range(tokens), self.kv_heads, kind, DIM, self.device)

    def many(self, kind):
        """[batch, generated, kvHeads, dim], made piece by piece."""
        made = torch.empty(self.batch, self.generated, self.kv_heads, DIM, dtype=torch.bfloat16, device=self.device)
        for first in range(0, self.batch, 64):
            made[first:first + 64] = self.part(range(first, min(first + 64, self.batch)), self.generated, kind)
        return made

    @property
    def copies(self):
        if self._copies is None:
            self._copies = []
            for shared, own in zip(self.prefix_pair, self.own_pair):
                copy = torch.empty(self.batch, self.prefix + self.generated, self.kv_heads, DIM, dtype=torch.bfloat16, device=self.device)
                copy[:, :self.prefix] = shared
                copy[:, self.prefix:] = own
                self._copies.append(copy)
        return self._copies

    def rows_of_group(self):
        """[batch, kvHeads, group, dim], without moving anything."""
        return self.query.view(self.batch, self.kv_heads, self.group, DIM)

    def prefix_part(self, kernel):
        if self.group == 1:
            folded = self.query.transpose(0, 1).unsqueeze(0)
        else:
            self.folded.view(self.kv_heads, self.batch, self.group, DIM).copy_(self.rows_of_group().transpose(0, 1))
            folded = self.folded
        return kernel(folded, *[part.transpose(1, 2) for part in self.prefix_pair])

    def own_part(self, kernel, suffix):
        return kernel(self.rows_of_group(), *[part[:, :suffix].transpose(1, 2) for part in self.own_pair])

    def merge(self, shared, own):
        (left, left_lse), (right, right_lse) = shared, own
        if triton:
            merge_kernel[(self.batch * self.heads,)](
                left, left_lse, right, right_lse, self.result, self.kv_heads, self.group, *left.stride()[1:3], *left_lse.stride()[1:3],
                *right.stride()[:3], *right_lse.stride()[:3], DIM=DIM, num_warps=1)
            return self.result
        left = left.reshape(self.kv_heads, self.batch, self.group, DIM).transpose(0, 1)
        left_lse = left_lse.reshape(self.kv_heads, self.batch, self.group).transpose(0, 1)
        share = torch.sigmoid(left_lse - right_lse).unsqueeze(-1)
        return torch.lerp(right.float(), left.float(), share).to(self.query.dtype).reshape(self.query.shape)

    def decomposed(self, shared_kernel, own_kernel, suffix):
        return self.merge(self.prefix_part(shared_kernel), self.own_part(own_kernel, suffix))

    def copied(self, kernel, suffix):
        pair = [part[:, :self.prefix + suffix].transpose(1, 2) for part in self.copies]
        return kernel(self.rows_of_group(), *pair)[0].reshape(self.query.shape)

    def sampled(self):
        count = min(SAMPLED_ROWS, self.batch)
        return [i * self.batch // count for i in range(count)]

    def reference(self, suffix):
        """The sampled rows in FP32, on the same rounded inputs."""
        chosen = self.sampled()
        query = self.rows_of_group()[chosen].float()
        key, value = [
            torch.cat([shared.expand(len(chosen), -1, -1, -1), own[chosen, :suffix]], 1).float().transpose(1, 2)
            for shared, own in zip(self.prefix_pair, self.own_pair)]
        weights = torch.softmax(torch.matmul(query, key.transpose(-1, -2)) / DIM ** 0.5, -1)
        return torch.matmul(weights, value).reshape(len(chosen), self.heads, DIM)


class Clock:
    """Times CUDA graphs as `hydragen bench` does: other memory is read before each replay, events stand around it."""

    def __init__(self, device):
        self.flush = torch.ones(FLUSH_BYTES // 4, dtype=torch.float32, device=device)
        self.sink = torch.empty((), dtype=torch.float32, device=device)

    def capture(self, step):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        graph.replay()
        torch.cuda.synchronize()
        return graph

    def replays(self, graph, count):
        events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(count)]
        for start, end in events:
            torch.sum(self.flush, dim=0, out=self.sink)
            start.record()
            graph.replay()
            end.record()
        torch.cuda.synchronize()
        return statistics.median(start.elapsed_time(end) * 1e-3 for start, end in events)

    def measure(self, step, repeats):
        """Seconds, one sample a round."""
        graph = self.capture(step)
        calls = max(1, min(MAX_CALLS, int(SAMPLE_SECONDS / self.replays(graph, 1))))
        return [self.replays(graph, calls) for _ in range(repeats)]


def mean_over_tokens(suffixes, values):
    """The trapezoid rule."""
    area = sum((b - a) * (x + y) / 2 for a, b, x, y in zip(suffixes, suffixes[1:], values, values[1:]))
    return area / (suffixes[-1] - suffixes[0])


def error_of(actual, expected):
    """The largest difference as a share of the largest element; NaN stays NaN."""
    return ((actual.float() - expected).abs().max() / expected.abs().max()).item()


def check_ours(case, folder):
    """The largest error of what the other program left; None when it left nothing."""
    errors = []
    for suffix in case.suffixes:
        path = os.path.join(folder, f"{case.batch}-{case.prefix}-{suffix}-{case.heads}-{case.kv_heads}.f32")
        if os.path.exists(path):
            with open(path, "rb") as file:
                ours = torch.frombuffer(bytearray(file.read()), dtype=torch.float32).to(case.device)
            expected = case.reference(suffix)
            errors.append(error_of(ours.view(expected.shape), expected))
            if not errors[-1] <= BOUND:
                raise SystemExit(f"{path}: off by {errors[-1]:.2g} of the largest element, more than {BOUND:.2g}; the programs compute different things.")
    return max(errors) if errors else None


def variants(case, with_copies):
    """Name, mode and step of a suffix."""
    for shared, own in (("flash", "flash"), ("cudnn", "flash"), ("cudnn", "cudnn")):
        yield f"{shared} prefix, {own} suffix", "decomposed", lambda suffix, a=KERNELS[shared], b=KERNELS[own]: case.decomposed(a, b, suffix)
    if with_copies:
        for name, kernel in KERNELS.items():
            yield name, "copied", lambda suffix, kernel=kernel: case.copied(kernel, suffix)


def write(line):
    print(json.dumps(line), flush=True)


def describe(case, **more):
    return {"type": "published", "peer": "pytorch", "batch": case.batch, "prefix": case.prefix, "generated": case.generated,
            "heads": case.heads, "kv_heads": case.kv_heads, **more}


def run_variant(case, clock, options, name, mode, step):
    times, errors = [], []
    for suffix in case.suffixes:
        errors.append(error_of(step(suffix)[case.sampled()], case.reference(suffix)))
        if not errors[-1] <= BOUND:
            raise RuntimeError(f"off by {errors[-1]:.2g} of the largest element at suffix {suffix}, more than {BOUND:.2g}")
        times.append(statistics.median(clock.measure(lambda: step(suffix), options.repeats)))
    write(describe(case, mode=mode, variant=name, step_ms=mean_over_tokens(case.suffixes, times) * 1e3,
                   points_ms=[1e3 * time for time in times], max_error=max(errors)))


def run_parts(case, clock, options):
    """Prefix and suffixes alone, at the last suffix."""
    for name, kernel in KERNELS.items():
        prefix = statistics.median(clock.measure(lambda: case.prefix_part(kernel), options.repeats))
        own = statistics.median(clock.measure(lambda: case.own_part(kernel, case.generated), options.repeats))
        flops = 4.0 * case.batch * case.heads * DIM * case.prefix
        read = 4.0 * case.batch * case.kv_heads * DIM * case.generated
        write({**describe(case, variant=name), "type": "parts", "prefix_ms": prefix * 1e3, "prefix_tflops": flops / prefix / 1e12,
               "suffix_ms": own * 1e3, "suffix_tbps": read / own / 1e12})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=None, help="numbers of configurations, 1 to 10 (default: all)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; the median counts (default 5)")
    parser.add_argument("--no-copies", action="store_true", help="leave out the copied form")
    parser.add_argument("--outputs", default=None, help="folder of `hydragen bench attention --outputs`")
    options = parser.parse_args()
    chosen = [int(part) for part in options.rows.split(",")] if options.rows else range(1, len(CONFIGURATIONS) + 1)
    if not all(1 <= number <= len(CONFIGURATIONS) for number in chosen):
        parser.error(f"--rows takes numbers from 1 to {len(CONFIGURATIONS)}")
    if not torch.cuda.is_available():
        raise SystemExit("attention.py: PyTorch sees no GPU")
    device = torch.device("cuda")
    torch.set_grad_enabled(False)
    write({"type": "header", "peer": "pytorch", "command": " ".join([os.path.basename(sys.argv[0])] + sys.argv[1:]),
           "version": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
           "triton": triton.__version__ if triton else None, "gpu": torch.cuda.get_device_name(device)})
    clock = Clock(device)
    for number in chosen:
        case = Case(CONFIGURATIONS[number - 1], device)
        if options.outputs:
            write({**describe(case), "type": "agreement", "max_error": check_ours(case, options.outputs)})
        for name, mode, step in variants(case, not options.no_copies):
            try:
                run_variant(case, clock, options, name, mode, step)
            except (RuntimeError, NotImplementedError) as error:  # out of memory, or a kernel that does not take the shape
                write(describe(case, mode=mode, variant=name, skipped=str(error).split("\n")[0]))
        try:
            run_parts(case, clock, options)
        except (RuntimeError, NotImplementedError) as error:
            write({**describe(case), "type": "parts", "skipped": str(error).split("\n")[0]})
        del case, step
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
