using Hydragen.Core;

namespace Hydragen;

/// <summary>How a model is loaded. Immutable.</summary>
public sealed record LanguageModelOptions
{
    /// <summary>Type of activations; null for the backend's choice: FP32 on the CPU, the type of the weights on a GPU.</summary>
    public ElementType? ComputeType { get; init; }

    /// <summary>
    /// Type of KV memory; null for that of the activations. INT8 and FP8 take half of the memory of 16-bit keys and values and move the logits.
    /// </summary>
    public ElementType? KvType { get; init; }

    /// <summary>
    /// Type of the KV memory of prefixes: of shared prefixes and of what the prompts of a call have in common; null for that of all other KV
    /// memory. It cannot differ from that with <see cref="SharingMode.Copied"/>.
    /// </summary>
    public ElementType? PrefixKvType { get; init; }

    /// <summary>
    /// Where the scales of FP8 keys and values come from. With <see cref="Core.KvScaling.Calibrated"/> the first prompt sets them: its first tokens, at
    /// most 512, are computed once more at its start, with KV memory in the type of the activations beside all other.
    /// </summary>
    public KvScaling KvScaling { get; init; }

    /// <summary>
    /// How the weights of the matrix products are kept: as the model stores them, or rounded to INT8 when loaded, which takes half of
    /// the memory of 16-bit weights and moves the logits.
    /// </summary>
    public WeightType WeightType { get; init; } = WeightType.Model;

    /// <summary>Threads of the CPU backend; null means one a core.</summary>
    public int? NumThreads { get; init; }

    /// <summary>
    /// The most rows of one forward pass; more rows need more activation memory, and keep a device busier with long prompts. Null means what
    /// the backend prefers: 512 on the CPU, 2048 on a GPU.
    /// </summary>
    public int? MaxBatchRows { get; init; }

    /// <summary>The most KV memory, in bytes; null means what the backend proposes: half of the memory, or what is free on a GPU.</summary>
    public long? MaxKvBytes { get; init; }

    /// <summary>Where to compute; null creates a CPU backend that the model owns.</summary>
    public IComputeBackend? Backend { get; init; }

    /// <summary>Whether <see cref="Backend"/> is freed with the model, also when loading fails; else it stays the caller's.</summary>
    public bool OwnsBackend { get; init; }

    /// <summary>
    /// The ranks that compute the model together; null for this process alone. All ranks load the same folder with the same options. Then
    /// rank 0 uses the model, and the others call <see cref="LanguageModel.ServeAsync"/>.
    /// </summary>
    public IRankGroup? Group { get; init; }

    /// <summary>Whether <see cref="Group"/> is left with the model, also when loading fails; else it stays the caller's.</summary>
    public bool OwnsGroup { get; init; }
}
