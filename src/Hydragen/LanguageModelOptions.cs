using Hydragen.Core;

namespace Hydragen;

/// <summary>How a model is loaded. Immutable.</summary>
public sealed record LanguageModelOptions
{
    /// <summary>Type of activations and KV memory: <see cref="ElementType.Float32"/> or <see cref="ElementType.BFloat16"/>.</summary>
    public ElementType ComputeType { get; init; } = ElementType.Float32;

    /// <summary>
    /// How the weights of the matrix products are kept: as the model stores them, or rounded to INT8 when loaded, which takes half of
    /// the memory of 16-bit weights and moves the logits.
    /// </summary>
    public WeightType WeightType { get; init; } = WeightType.Model;

    /// <summary>Threads of the CPU backend; null means one a core.</summary>
    public int? NumThreads { get; init; }

    /// <summary>The most rows of one forward pass; more rows need more activation memory.</summary>
    public int MaxBatchRows { get; init; } = 512;

    /// <summary>The most KV memory, in bytes; null means half of the available memory.</summary>
    public long? MaxKvBytes { get; init; }

    /// <summary>Where to compute; null creates a CPU backend that the model owns. A backend given here stays the caller's.</summary>
    public IComputeBackend? Backend { get; init; }
}
