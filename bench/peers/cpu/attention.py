"""One decode step of attention over a shared prefix in PyTorch, BF16: decomposed with sharing, and without sharing.

With sharing, the GQA group and the batch are folded into the query length for the prefix; prefix and suffix are merged by their
log-sum-exp in FP32. Every variant is compared with an FP32 reference before it is timed. One JSON line a variant."""

import argparse
import math

import torch
import torch.nn.functional as F

import peer

# BF16 scores and weights: eight significant bits, a few roundings.
BOUND = 3e-2

CHUNK = 1024


class Shape:
    def __init__(self, options, prefix):
        self.batch, self.heads, self.kv_heads, self.dim = options.batch, options.heads, options.kv_heads, options.head_dim
        self.group = self.heads // self.kv_heads
        self.prefix, self.suffix = prefix, options.suffix
        self.scale = 1 / math.sqrt(self.dim)

    def random(self, *sizes):
        return torch.randn(*sizes, dtype=torch.float32).to(torch.bfloat16)


def fold_prefix(shape, query):
    """[batch, heads, dim] to [1, kvHeads, batch · group, dim]."""
    folded = query.view(shape.batch, shape.kv_heads, shape.group, shape.dim).transpose(0, 1)
    return folded.reshape(1, shape.kv_heads, shape.batch * shape.group, shape.dim)


def flash(query, key, value):
    """Output and log-sum-exp of scaled attention; both [b, h, rows, ..]."""
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, False)[:2]


def matmul(shape, query, key, value):
    """The same by two batched products, with the softmax in FP32."""
    scores = torch.matmul(query, key.transpose(-1, -2)).float() * shape.scale
    log_sum_exp = torch.logsumexp(scores, -1)
    weights = torch.exp(scores - log_sum_exp.unsqueeze(-1)).to(query.dtype)
    return torch.matmul(weights, value), log_sum_exp


def chunked_matmul(shape, query, key, value):
    """The same over so many keys at a time that the scores stay in a cache."""
    out, log_sum_exp = None, None
    for first in range(0, key.shape[2], CHUNK):
        part, part_lse = matmul(shape, query, key[:, :, first:first + CHUNK], value[:, :, first:first + CHUNK])
        if out is None:
            out, log_sum_exp = part.float(), part_lse
        else:
            out = torch.lerp(out, part.float(), torch.sigmoid(part_lse - log_sum_exp).unsqueeze(-1))
            log_sum_exp = torch.logaddexp(log_sum_exp, part_lse)
    return out, log_sum_exp


def merge(shape, prefix, suffix):
    """Both parts, [1, kvHeads, batch · group, ..] and [batch, kvHeads, group, ..], into [batch, heads, dim]."""
    (out, lse), (own_out, own_lse) = prefix, suffix
    out = out.view(shape.kv_heads, shape.batch, shape.group, shape.dim).transpose(0, 1)
    lse = lse.view(shape.kv_heads, shape.batch, shape.group).transpose(0, 1)
    share = torch.sigmoid(lse - own_lse).unsqueeze(-1)
    merged = torch.lerp(own_out.float(), out.float(), share)
    return merged.to(torch.bfloat16).view(shape.batch, shape.heads, shape.dim)


def with_sharing(shape, prefix_part, suffix_part):
    def run(query, data):
        prefix_key, prefix_value, key, value = data
        own_query = query.view(shape.batch, shape.kv_heads, shape.group, shape.dim)
        return merge(shape, prefix_part(fold_prefix(shape, query), prefix_key, prefix_value), suffix_part(own_query, key, value))

    return run


def without_sharing(shape, part):
    def run(query, data):
        out = part(query.view(shape.batch, shape.kv_heads, shape.group, shape.dim), *data)[0]
        return out.reshape(shape.batch, shape.heads, shape.dim)

    return run


def shipped(shape):
    """SDPA as it is called by models: one query row a head, the group left to it."""

    def run(query, data):
        out = F.scaled_dot_product_attention(query.unsqueeze(2), *data, enable_gqa=shape.group > 1)
        return out.reshape(shape.batch, shape.heads, shape.dim)

    return run


def reference(shape, query, data):
    """The function itself in FP32, on the same rounded inputs."""
    prefix_key, prefix_value, key, value = (part.float() for part in data)
    own_query = query.float().view(shape.batch, shape.kv_heads, shape.group, shape.dim)
    parts = []
    if shape.prefix:
        scores = torch.matmul(fold_prefix(shape, query.float()), prefix_key.transpose(-1, -2))[0]
        parts.append(scores.view(shape.kv_heads, shape.batch, shape.group, -1).transpose(0, 1))
    parts.append(torch.matmul(own_query, key.transpose(-1, -2)))
    weights = torch.softmax(torch.cat(parts, -1) * shape.scale, -1)
    shared = weights[..., :shape.prefix].transpose(0, 1).reshape(shape.kv_heads, shape.batch * shape.group, shape.prefix)
    out = torch.matmul(shared, prefix_value[0]).view(shape.kv_heads, shape.batch, shape.group, shape.dim).transpose(0, 1)
    return (out + torch.matmul(weights[..., shape.prefix:], value)).reshape(shape.batch, shape.heads, shape.dim)


def make_shared(shape):
    sizes = [(1, shape.kv_heads, shape.prefix, shape.dim)] * 2 + [(shape.batch, shape.kv_heads, shape.suffix, shape.dim)] * 2
    return [shape.random(*size) for size in sizes]


def make_copies(shape, data):
    prefix_key, prefix_value, key, value = data
    expand = (shape.batch, -1, -1, -1)
    return [torch.cat([prefix_key.expand(expand), key], 2), torch.cat([prefix_value.expand(expand), value], 2)]


def report(shape, options, mode, variants, query, sets, expected, num_sets):
    errors = {name: peer.check(name, run(query, sets[0]), expected, BOUND) for name, run in variants.items()}
    calls = {name: lambda i, run=run: run(query, sets[i]) for name, run in variants.items()}
    for name, seconds in peer.measure(calls, num_sets, options.repeats).items():
        peer.write({
            "type": "attention", "peer": "pytorch", "mode": mode, "variant": name, "batch": shape.batch, "prefix": shape.prefix,
            "suffix": shape.suffix, "heads": shape.heads, "kv_heads": shape.kv_heads, "head_dim": shape.dim, "kv_type": "bf16",
            "threads": options.threads, "data_sets": num_sets, "max_error": errors[name],
            "ms": peer.spread([1e3 * s for s in seconds]), "samples_ms": [1e3 * s for s in seconds],
        })


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    peer.add_options(parser)
    parser.add_argument("--prefix", type=peer.numbers, default=[1024, 4096, 16384], help="shared tokens (default 1024,4096,16384)")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--suffix", type=int, default=128)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--kv-heads", type=int, default=2)
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--no-sharing", action="store_true", help="measure without sharing too: a copy of the prefix for each sequence")
    parser.add_argument("--shipped", action="store_true", help="with --no-sharing: also scaled_dot_product_attention as models call it (slow)")
    options = parser.parse_args()
    if options.heads % options.kv_heads or min([options.suffix] + options.prefix) < 1:
        parser.error("--heads must be a multiple of --kv-heads, and --prefix and --suffix at least 1")
    peer.start(options)
    for prefix in options.prefix:
        shape = Shape(options, prefix)
        query = shape.random(shape.batch, shape.heads, shape.dim)
        parts = {"flash": flash, "matmul": lambda q, k, v: matmul(shape, q, k, v)}
        bytes_per_set = 2 * 2 * shape.kv_heads * shape.dim * (prefix + shape.batch * shape.suffix)
        num_sets = peer.count_sets(bytes_per_set, options)
        sets = [make_shared(shape) for _ in range(num_sets)]
        expected = reference(shape, query, sets[0])
        variants = {
            f"{name} prefix, {own} suffix": with_sharing(shape, part, own_part)
            for name, part in parts.items() for own, own_part in parts.items()
        }
        variants["matmul prefix in chunks, matmul suffix"] = with_sharing(
            shape, lambda q, k, v: chunked_matmul(shape, q, k, v), parts["matmul"])
        report(shape, options, "hydragen", variants, query, sets, expected, num_sets)
        if not options.no_sharing:
            continue
        num_sets = peer.count_sets(2 * 2 * shape.kv_heads * shape.dim * shape.batch * (prefix + shape.suffix), options)
        # Sets past the first need other memory, not other numbers.
        first = make_copies(shape, sets[0])
        del sets
        copies = [first] + [[part.clone() for part in first] for _ in range(num_sets - 1)]
        variants = {name: without_sharing(shape, part) for name, part in parts.items()}
        if options.shipped:
            variants["SDPA as shipped"] = shipped(shape)
        report(shape, options, "copied", variants, query, copies, expected, num_sets)


if __name__ == "__main__":
    main()
