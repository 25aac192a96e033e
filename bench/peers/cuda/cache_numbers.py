"""The numbers that `hydragen bench attention --device cuda` computes with, made by PyTorch: about normal, standard deviation 1.15.

Each follows from a stream (a sequence, or -1 for the prefix and the queries), a token, a head, a kind and a column; the integer
arithmetic is that of cache_fill.cu, so both programs hold the same bits."""

import torch

KEY, VALUE, QUERY = 0, 1, 2
PREFIX_STREAM = QUERY_STREAM = -1


def signed(word):
    return word - (1 << 32) if word >= 1 << 31 else word


def shifted(x, count):
    """Logical, not arithmetic."""
    return (x >> count) & ((1 << (32 - count)) - 1)


def mix(x):
    x = (x ^ shifted(x, 16)) * signed(0x7FEB352D)
    x = (x ^ shifted(x, 15)) * signed(0x846CA68B)
    return x ^ shifted(x, 16)


def rows(streams, tokens, heads, kind, dim, device, dtype=torch.bfloat16):
    """[streams, tokens, heads, dim]; the first two are lists of numbers or ranges."""
    stream = torch.tensor(list(streams), dtype=torch.int32, device=device).view(-1, 1, 1, 1)
    token = torch.tensor(list(tokens), dtype=torch.int32, device=device).view(1, -1, 1, 1)
    head = torch.arange(heads, dtype=torch.int32, device=device).view(1, 1, -1, 1)
    column = torch.arange(dim, dtype=torch.int32, device=device)
    row = mix(mix(token + stream * signed(0x9E3779B9)) + head * 4 + kind)
    bits = mix(row + column * signed(0x85EBCA77))
    total = (bits & 255) + (shifted(bits, 8) & 255) + (shifted(bits, 16) & 255) + shifted(bits, 24)
    return ((total - 510).float() * 0.0078125).to(dtype)
