using System.Runtime.Intrinsics;

namespace Hydragen.Cpu;

/// <summary>Every operator, compiled for one vector width.</summary>
internal abstract class OperatorSet
{
    public abstract ElementConverter Converter { get; }

    public abstract GatherJob Gather { get; }

    public abstract EmbeddingJob Embedding { get; }

    public abstract LinearJob Linear { get; }

    /// <summary>Whether matrices of BF16 are to be packed in pairs.</summary>
    public virtual bool PairsBFloat16 => false;

    public abstract NormJob Norm { get; }

    public abstract RotaryAppendJob RotaryAppend { get; }

    public abstract AttentionJob Attention { get; }

    public abstract MergeJob Merge { get; }

    public abstract ActivationJob Activation { get; }
}

/// <inheritdoc/>
internal class OperatorSet<S, V> : OperatorSet
    where S : struct, ISimd<V>
    where V : struct
{
    public override ElementConverter Converter { get; } = new ElementConverter<S, V>();

    public override GatherJob Gather { get; } = new();

    public override EmbeddingJob Embedding { get; } = new();

    public override LinearJob Linear { get; } = new LinearJob<S, V>();

    public override NormJob Norm { get; } = new NormJob<S, V>();

    public override RotaryAppendJob RotaryAppend { get; } = new RotaryAppendJob<S, V>();

    public override AttentionJob Attention { get; } = new AttentionJob<S, V>();

    public override MergeJob Merge { get; } = new MergeJob<S, V>();

    public override ActivationJob Activation { get; } = new ActivationJob<S, V>();
}

/// <summary>AVX-512 with generated matrix products over BF16 pairs.</summary>
internal sealed class PairOperatorSet(PairTile tile) : OperatorSet<Simd512, Vector512<float>>
{
    public override LinearJob Linear { get; } = new PairLinearJob(tile);

    public override bool PairsBFloat16 => true;
}
