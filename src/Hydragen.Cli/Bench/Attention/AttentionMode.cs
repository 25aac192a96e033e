using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>What is timed.</summary>
internal enum AttentionMode
{
    /// <summary>Prefixes are stored once and read once for all sequences that share them.</summary>
    Hydragen,

    /// <summary>Prefixes are stored once, but every sequence reads them by itself.</summary>
    Paged,

    /// <summary>Every sequence has a copy of its prefix.</summary>
    Copied,

    /// <summary>Part of a step with sharing: what sequences share, without their own tokens.</summary>
    Nodes,

    /// <summary>Part of a step with sharing: the sequences' own tokens, without what they share.</summary>
    Sequences,
}

/// <summary>Names and meanings of modes.</summary>
internal static class AttentionModes
{
    /// <summary>Those that compute the whole function.</summary>
    public static readonly IReadOnlyList<AttentionMode> Whole = [AttentionMode.Hydragen, AttentionMode.Paged, AttentionMode.Copied];

    /// <summary>The mode's name on the command line.</summary>
    public static string Name(this AttentionMode mode) => mode.ToString().ToLowerInvariant();

    /// <summary>Whether it computes the whole function.</summary>
    public static bool IsWhole(this AttentionMode mode) => Whole.Contains(mode);

    /// <summary>How a plan of this mode reads prefixes.</summary>
    public static SharingMode Sharing(this AttentionMode mode) => mode switch
    {
        AttentionMode.Paged => SharingMode.Paged,
        AttentionMode.Copied => SharingMode.Copied,
        _ => SharingMode.Hydragen,
    };
}
