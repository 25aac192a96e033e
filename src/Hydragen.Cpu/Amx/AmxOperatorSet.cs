using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>AVX-512 with products over BF16 pairs in the tile unit.</summary>
internal sealed class AmxOperatorSet(AmxTile tile, PairTile pairTile) : PairOperatorSet(pairTile)
{
    private readonly PairAttentionJob _attention = new(new AmxPairProduct(tile));

    public override LinearJob Linear { get; } = new AmxLinearJob(tile, pairTile);

    public override AttentionJob AttentionFor(ElementType queryType, CpuKvCache cache) =>
        queryType == ElementType.BFloat16 && cache.IsPaired && cache.Shape.HeadDim % AmxTileEmitter.TileDepth == 0 ? _attention : base.AttentionFor(queryType, cache);
}
