using Hydragen.Text.AddedTokens;
using Hydragen.Text.Models;
using Hydragen.Text.PreTokenizers;

namespace Hydragen.Text;

/// <summary>The scratch memory of one encoding at a time, reused from call to call.</summary>
internal sealed class EncodeWorkspace
{
    // A workspace grown by one huge text is dropped instead of staying for the life of the tokenizer.
    private const int MaximumKeptCapacity = 1 << 18;

    public List<AddedTokenMatch> RawMatches { get; } = [];

    public List<AddedTokenMatch> NormalizedMatches { get; } = [];

    public PieceBuffer Pieces { get; } = new();

    public MergeWorkspace Merges { get; } = new();

    public bool IsWorthKeeping => Pieces.Capacity <= MaximumKeptCapacity && Merges.Capacity <= MaximumKeptCapacity
        && RawMatches.Capacity <= MaximumKeptCapacity && NormalizedMatches.Capacity <= MaximumKeptCapacity;
}
