"""The Llama decoder of the trainer, with the parameter names of transformers' LlamaForCausalLM.

Written out here because training packs many questions behind one document and needs their block mask in the attention.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention.flex_attention import flex_attention


@dataclass
class Shape:
    vocabulary: int = 2048
    hidden: int = 256
    layers: int = 6
    heads: int = 8
    kv_heads: int = 4
    head_dim: int = 32
    intermediate: int = 768
    rope_theta: float = 1e7
    max_positions: int = 16384
    norm_eps: float = 1e-5


class RmsNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps)
        return (y * self.weight).to(x.dtype)


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), -1)
    return (x * cos + turned * sin).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s = s
        self.q_proj = nn.Linear(s.hidden, s.heads * s.head_dim, bias=False)
        self.k_proj = nn.Linear(s.hidden, s.kv_heads * s.head_dim, bias=False)
        self.v_proj = nn.Linear(s.hidden, s.kv_heads * s.head_dim, bias=False)
        self.o_proj = nn.Linear(s.heads * s.head_dim, s.hidden, bias=False)

    def forward(self, x, cos, sin, mask):
        s, n = self.s, x.shape[1]
        q = self.q_proj(x).view(1, n, s.heads, s.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(1, n, s.kv_heads, s.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(1, n, s.kv_heads, s.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if isinstance(mask, torch.Tensor):
            y = F.scaled_dot_product_attention(q, k, v.to(q.dtype), attn_mask=mask, enable_gqa=True)
        else:
            y = flex_attention(q, k, v.to(q.dtype), block_mask=mask, enable_gqa=True)
        return self.o_proj(y.transpose(1, 2).reshape(1, n, s.heads * s.head_dim))


class Mlp(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(s.hidden, s.intermediate, bias=False)
        self.up_proj = nn.Linear(s.hidden, s.intermediate, bias=False)
        self.down_proj = nn.Linear(s.intermediate, s.hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.input_layernorm = RmsNorm(s.hidden, s.norm_eps)
        self.self_attn = Attention(s)
        self.post_attention_layernorm = RmsNorm(s.hidden, s.norm_eps)
        self.mlp = Mlp(s)

    def forward(self, x, cos, sin, mask):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    """`model.*` parameters as transformers names them; the output embedding is the input embedding."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s = s
        self.embed_tokens = nn.Embedding(s.vocabulary, s.hidden)
        self.layers = nn.ModuleList(Layer(s) for _ in range(s.layers))
        self.norm = RmsNorm(s.hidden, s.norm_eps)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                std = 0.02 if "embed" not in name else 0.05
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    std /= (2 * s.layers) ** 0.5
                nn.init.normal_(p, std=std)

    def rotary(self, positions):
        """cos and sin [1, 1, n, head_dim] in FP32, halves duplicated as transformers does."""
        d = self.s.head_dim
        inverse = self.s.rope_theta ** (-torch.arange(0, d, 2, device=positions.device, dtype=torch.float32) / d)
        angle = positions.float()[:, None] * inverse[None, :]
        angle = torch.cat((angle, angle), -1)[None, None]
        return angle.cos(), angle.sin()

    def forward(self, ids, positions, mask):
        """Hidden states [1, n, hidden] after the last norm, for ids [n] and positions [n]."""
        cos, sin = self.rotary(positions)
        x = self.embed_tokens(ids)[None]
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        return self.norm(x)
