namespace Hydragen.Core;

/// <summary>How sequences that share a prefix attend to it. All modes compute the same function but <see cref="NoAttention"/>.</summary>
public enum SharingMode
{
    /// <summary>The prefix is stored once and read once for all sequences that share it (the default).</summary>
    Hydragen,

    /// <summary>The prefix is stored once, but every sequence reads it by itself, as paged attention does.</summary>
    Paged,

    /// <summary>Every sequence owns a copy of the prefix, as batched FlashAttention does.</summary>
    Copied,

    /// <summary>Attention yields zeros: the ceiling of what attention could gain. The output is meaningless.</summary>
    NoAttention,
}
