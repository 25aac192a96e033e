using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>AVX-512 with products over BF16 pairs in the tile unit.</summary>
internal sealed class AmxOperatorSet(AmxTile tile, PairTile pairTile) : PairOperatorSet(pairTile)
{
    private readonly Dictionary<int, PairAttentionJob> _attention = [];

    public override LinearJob Linear { get; } = new AmxLinearJob(tile, pairTile);

    public override AttentionJob AttentionFor(ElementType queryType, CpuKvCache cache)
    {
        int headDim = cache.Shape.HeadDim;
        if (queryType != ElementType.BFloat16 || !cache.IsPaired || headDim % AmxTileEmitter.TileDepth != 0) return base.AttentionFor(queryType, cache);
        if (!_attention.TryGetValue(headDim, out PairAttentionJob? job))
        {
            job = new PairAttentionJob(new AmxPairProduct(tile), AmxAttention.Get(tile, headDim, out _));
            _attention.Add(headDim, job);
        }
        return job;
    }

    protected override QuadKernel SelectQuads(out string reason) => QuadKernel.Select([QuadKernel.Amx, .. QuadKernel.All], QuadKernel.Amx.Lanes, out reason);
}
