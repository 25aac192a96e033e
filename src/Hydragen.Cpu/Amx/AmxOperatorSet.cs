using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>AVX-512 with products over BF16 pairs in the tile unit.</summary>
internal sealed class AmxOperatorSet(AmxTile tile, PairTile pairTile) : PairOperatorSet(pairTile)
{
    private readonly Dictionary<(int HeadDim, PageKind Kind), PairAttentionJob> _attention = [];

    /// <summary>Why these operators cannot run here, or null; generates and tests their kernels on first use.</summary>
    public static string? WhyNot
    {
        get
        {
            string? whyNot = AmxTile.WhyNotShared ?? PairTile.WhyNotShared;
            if (whyNot is null) _ = AmxAttention.Get(CommonHeadDim, out whyNot);
            return whyNot;
        }
    }

    public override LinearJob Linear { get; } = new AmxLinearJob(tile, pairTile);

    public override AttentionJob AttentionFor(ElementType queryType, CpuKvCache cache, PageKind kind)
    {
        int headDim = cache.Shape.HeadDim;
        if (queryType != ElementType.BFloat16 || !ReadsAsPairs(cache.Shape.TypeOf(kind)) || headDim % AmxTileEmitter.TileDepth != 0)
            return base.AttentionFor(queryType, cache, kind);
        if (!_attention.TryGetValue((headDim, kind), out PairAttentionJob? job))
        {
            job = new PairAttentionJob(new AmxPairProduct(tile), fused: AmxAttention.Get(headDim, out _));
            _attention.Add((headDim, kind), job);
        }
        return job;
    }

    protected override QuadKernel SelectQuads(out string reason) => QuadKernel.Select([QuadKernel.Amx, .. QuadKernel.All], QuadKernel.Amx.Lanes, out reason);
}
