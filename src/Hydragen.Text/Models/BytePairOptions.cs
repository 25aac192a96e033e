namespace Hydragen.Text.Models;

/// <summary>The switches of a byte-pair model.</summary>
/// <param name="Source">Name of the file, for messages.</param>
/// <param name="UnknownToken">Stands for characters that the vocabulary lacks; without one they are dropped.</param>
/// <param name="FusesUnknown">Consecutive unknown characters become one token.</param>
/// <param name="HasByteFallback">Unknown characters become the tokens <c>&lt;0x00&gt;</c>…<c>&lt;0xFF&gt;</c> of their UTF-8 bytes.</param>
/// <param name="IgnoresMerges">A piece that is itself in the vocabulary is taken whole.</param>
/// <param name="ContinuingPrefix">Precedes every symbol but a piece's first in the vocabulary.</param>
/// <param name="EndOfWordSuffix">Follows a piece's last symbol in the vocabulary.</param>
internal sealed record BytePairOptions(
    string Source,
    string? UnknownToken,
    bool FusesUnknown,
    bool HasByteFallback,
    bool IgnoresMerges,
    string ContinuingPrefix,
    string EndOfWordSuffix)
{
    public bool HasAffixes => ContinuingPrefix.Length + EndOfWordSuffix.Length > 0;
}
