using System.Runtime.Intrinsics;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Every operator, compiled for one vector width.</summary>
internal abstract class OperatorSet
{
    /// <summary>
    /// The size of heads whose attention kernels are tested, and named to people, before there is a model; those of other sizes are tested
    /// when they are first needed, and left out if they fail.
    /// </summary>
    public const int CommonHeadDim = 128;

    private QuadKernel? _quads;
    private string _quadsReason = string.Empty;

    public abstract ElementConverter Converter { get; }

    public abstract GatherJob Gather { get; }

    public abstract RowQuantizer Quantizer { get; }

    public abstract QuantizeJob Quantize { get; }

    /// <summary>The product with INT8 weights. Chosen when first asked for, because some kernels are generated then.</summary>
    public QuadKernel Quads => _quads ??= SelectQuads(out _quadsReason);

    /// <summary>Why <see cref="Quads"/> was chosen.</summary>
    public string QuadsReason
    {
        get
        {
            _ = Quads;
            return _quadsReason;
        }
    }

    public abstract EmbeddingJob Embedding { get; }

    public abstract LinearJob Linear { get; }

    /// <summary>Whether matrices of BF16 are to be packed in pairs.</summary>
    public virtual bool PairsBFloat16 => false;

    /// <summary>Whether attention of BF16 queries multiplies keys and values of a type as BF16 pairs.</summary>
    public virtual bool ReadsAsPairs(ElementType kvType) => false;

    public abstract NormJob Norm { get; }

    public abstract RotaryAppendJob RotaryAppend { get; }

    /// <summary>The attention for queries of a type and a cache's pages of a kind. What both kinds get are never the same object.</summary>
    public abstract AttentionJob AttentionFor(ElementType queryType, CpuKvCache cache, PageKind kind);

    public abstract MergeJob Merge { get; }

    public abstract ActivationJob Activation { get; }

    /// <summary>Picks the product with INT8 weights.</summary>
    protected abstract QuadKernel SelectQuads(out string reason);
}

/// <inheritdoc/>
internal class OperatorSet<S, V> : OperatorSet
    where S : struct, ISimd<V>
    where V : struct
{
    private readonly AttentionJob?[] _attention = new AttentionJob?[2];

    public override ElementConverter Converter { get; } = new ElementConverter<S, V>();

    public override GatherJob Gather { get; } = new();

    public override RowQuantizer Quantizer { get; } = new RowQuantizer<S, V>();

    public override QuantizeJob Quantize { get; } = new();

    public override EmbeddingJob Embedding { get; } = new();

    public override LinearJob Linear { get; } = new LinearJob<S, V>();

    public override NormJob Norm { get; } = new NormJob<S, V>();

    public override RotaryAppendJob RotaryAppend { get; } = new RotaryAppendJob<S, V>();

    public override AttentionJob AttentionFor(ElementType queryType, CpuKvCache cache, PageKind kind) =>
        _attention[(int)kind] ??= new VectorAttentionJob<S, V>(S.Lanes == TileShape.StripWidth ? HalfTile.Shared : null);

    public override MergeJob Merge { get; } = new MergeJob<S, V>();

    public override ActivationJob Activation { get; } = new ActivationJob<S, V>();

    protected override QuadKernel SelectQuads(out string reason) => QuadKernel.Select(QuadKernel.All, S.Lanes, out reason);
}

/// <summary>AVX-512 with generated matrix products over BF16 pairs.</summary>
internal class PairOperatorSet(PairTile tile) : OperatorSet<Simd512, Vector512<float>>
{
    private readonly PairAttentionJob?[] _attention = new PairAttentionJob?[ElementTypes.All.Count];

    public override LinearJob Linear { get; } = new PairLinearJob(tile);

    public override bool PairsBFloat16 => true;

    public override bool ReadsAsPairs(ElementType kvType) => kvType == ElementType.BFloat16 || (kvType.IsByte() && ByteTable.IsSupported);

    public override AttentionJob AttentionFor(ElementType queryType, CpuKvCache cache, PageKind kind)
    {
        ElementType kvType = cache.Shape.TypeOf(kind);
        if (queryType != ElementType.BFloat16 || !ReadsAsPairs(kvType)) return base.AttentionFor(queryType, cache, kind);
        return _attention[(int)kvType] ??= new PairAttentionJob(
            new RegisterPairProduct(tile[ElementType.BFloat16], streams: 1), kvType.IsByte() && ByteTile.For(kvType) is { } byteTile ? new RegisterPairProduct(byteTile, streams: 4) : null);
    }
}
