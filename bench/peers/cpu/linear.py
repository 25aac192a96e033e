"""The matrix product of a layer in PyTorch, BF16: nn.functional.linear as it is called, and with weights packed for oneDNN.

Every variant is compared with an FP32 product before it is timed. One JSON line a variant and number of rows."""

import argparse

import torch
import torch.nn.functional as F

import peer

# One rounding of the output to BF16, and sums of 4096 terms in FP32.
BOUND = 1e-2


def pack(weights, rows):
    """Weights in oneDNN's own layout, as the compiler of PyTorch prepares them; None where there is no such operator."""
    try:
        packed = [torch.ops.mkldnn._reorder_linear_weight(weight, rows) for weight in weights]
        torch.ops.mkldnn._linear_pointwise(torch.zeros(rows, weights[0].shape[1], dtype=torch.bfloat16), packed[0], None, "none", [], "")
        return packed
    except (AttributeError, RuntimeError):
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    peer.add_options(parser)
    parser.add_argument("--rows", type=peer.numbers, default=[1, 8, 64, 256], help="input rows (default 1,8,64,256)")
    parser.add_argument("--size", type=int, default=4096, help="input and output size (default 4096)")
    options = parser.parse_args()
    peer.start(options)
    size = options.size
    num_sets = peer.count_sets(2 * size * size, options)
    weights = [torch.rand(size, size).sub_(0.5).to(torch.bfloat16) for _ in range(num_sets)]
    for rows in options.rows:
        inputs = torch.rand(rows, size).sub_(0.5).to(torch.bfloat16)
        expected = F.linear(inputs.float(), weights[0].float())
        variants = {"linear": lambda i: F.linear(inputs, weights[i])}
        packed = pack(weights, rows)
        if packed is not None:
            variants["linear, packed weights"] = lambda i: torch.ops.mkldnn._linear_pointwise(inputs, packed[i], None, "none", [], "")
        errors = {name: peer.check(name, run(0), expected, BOUND) for name, run in variants.items()}
        for name, seconds in peer.measure(variants, num_sets, options.repeats).items():
            peer.write({
                "type": "linear", "peer": "pytorch", "variant": name, "rows": rows, "input_size": size, "output_size": size,
                "threads": options.threads, "data_sets": num_sets, "max_error": errors[name],
                "ms": peer.spread([1e3 * s for s in seconds]), "samples_ms": [1e3 * s for s in seconds],
                "gflops": peer.spread([2 * rows * size * size / s / 1e9 for s in seconds]),
            })


if __name__ == "__main__":
    main()
