using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>One point of a sweep: so many completions behind one prompt.</summary>
/// <param name="Batch">Sequences.</param>
/// <param name="Prefix">Tokens of the prompt that all of them share.</param>
/// <param name="Suffix">Prompt tokens of each sequence's own behind it.</param>
/// <param name="NewTokens">New tokens of each.</param>
internal readonly record struct GenerationCell(int Batch, int Prefix, int Suffix, int NewTokens)
{
    /// <summary>Tokens of a sequence at the end.</summary>
    public int Length => Prefix + Suffix + NewTokens;

    /// <summary>Tokens that the KV memory holds at the end.</summary>
    public long NumKvTokens(SharingMode mode) =>
        mode == SharingMode.Copied ? (long)Batch * Length : Prefix + (long)Batch * (Length - Prefix);

    /// <summary>Whether one sequence has the prompt for itself, when it is not computed before: then it is no prefix.</summary>
    public bool OwnsPrompt => Batch == 1 && Suffix == 0;

    /// <summary>Pages that the engine needs at once; without them it would not decode all sequences together.</summary>
    public PageCount NumPages(SharingMode mode) => new(PagesFor(Prefix), Batch * PagesFor(mode == SharingMode.Copied ? Length : Length - Prefix));

    private static long PagesFor(int numTokens) => (numTokens + KvCache.PageSize - 1) / KvCache.PageSize;
}
