using System.Runtime.InteropServices;
using System.Text;

namespace Hydragen.Text.Models;

/// <summary>Byte-pair encoding of one piece: characters to symbols, then merges by rank.</summary>
/// <remarks>Immutable but for its cache; safe for concurrent use with a workspace a caller.</remarks>
internal sealed class BytePairModel
{
    private const int NumDirectCharacters = 0x400;

    private readonly BytePairOptions _options;
    private readonly Dictionary<string, int> _vocabulary;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _lookup;
    private readonly MergeTable _merges;
    private readonly int[] _directIds = new int[NumDirectCharacters];
    private readonly int[]? _byteIds;
    private readonly int? _unknownId;
    private readonly HashSet<int>? _forbiddenIds;
    private readonly PieceCache _cache = new();

    /// <param name="options">The switches.</param>
    /// <param name="vocabulary">Ids by piece.</param>
    /// <param name="merges">The merges, none of which makes a forbidden id.</param>
    /// <param name="forbiddenIds">Ids that the model must not give, as if the vocabulary lacked them.</param>
    public BytePairModel(
        BytePairOptions options, Dictionary<string, int> vocabulary, MergeTable merges, HashSet<int>? forbiddenIds = null)
    {
        _options = options;
        _vocabulary = vocabulary;
        _lookup = vocabulary.GetAlternateLookup<ReadOnlySpan<char>>();
        _merges = merges;
        _forbiddenIds = forbiddenIds;
        _unknownId = options.UnknownToken is { } unknown && vocabulary.TryGetValue(unknown, out int unknownId) ? unknownId : null;
        for (int c = 0; c < NumDirectCharacters; c++)
            _directIds[c] = vocabulary.TryGetValue(((char)c).ToString(), out int id) ? IfAllowed(id) : -1;
        if (options.HasByteFallback)
        {
            _byteIds = new int[256];
            for (int value = 0; value < 256; value++)
                _byteIds[value] = vocabulary.TryGetValue($"<0x{value:X2}>", out int id) ? id : -1;
        }
    }

    /// <summary>The pieces of the model, without added tokens.</summary>
    public Dictionary<string, int> Vocabulary => _vocabulary;

    /// <summary>This model without some tokens: text cannot give their ids. The model itself if it cannot anyway.</summary>
    public BytePairModel Without(IEnumerable<int> ids)
    {
        HashSet<int> forbidden = [.. ids];
        forbidden.IntersectWith(_vocabulary.Values);
        return forbidden.Count == 0 ? this : new BytePairModel(_options, _vocabulary, _merges.Without(forbidden), forbidden);
    }

    /// <summary>Appends the ids of a piece.</summary>
    /// <param name="piece">Well-formed UTF-16, not empty.</param>
    /// <param name="workspace">Scratch memory of the caller.</param>
    /// <param name="output">Where the ids go.</param>
    /// <exception cref="TokenizerFormatException">A character needs the unknown token and the vocabulary lacks it.</exception>
    public void Encode(ReadOnlySpan<char> piece, MergeWorkspace workspace, List<int> output)
    {
        if (_cache.TryAppend(piece, output))
            return;
        int start = output.Count;
        if (_options.IgnoresMerges && _lookup.TryGetValue(piece, out int whole) && IfAllowed(whole) >= 0)
        {
            output.Add(whole);
        }
        else
        {
            workspace.Clear();
            AddSymbols(piece, workspace);
            workspace.MergeInto(output, _merges);
        }

        _cache.Add(piece, CollectionsMarshal.AsSpan(output)[start..]);
    }

    private void AddSymbols(ReadOnlySpan<char> piece, MergeWorkspace workspace)
    {
        // An unknown character waits, so that the next one can be fused with it; it is added before the next known character.
        bool isUnknownPending = false;
        for (int i = 0, length; i < piece.Length; i += length)
        {
            length = char.IsHighSurrogate(piece[i]) && i + 1 < piece.Length ? 2 : 1;
            ReadOnlySpan<char> character = piece.Slice(i, length);
            int id = GetSymbol(character, isFirst: i == 0, isLast: i + length == piece.Length);
            if (id >= 0)
            {
                if (isUnknownPending)
                    workspace.Add(_unknownId!.Value);
                isUnknownPending = false;
                workspace.Add(id);
            }
            else if (!TryAddBytes(character, isFirst: i == 0, isLast: i + length == piece.Length, workspace)
                && _options.UnknownToken is not null)
            {
                if (_unknownId is null)
                    throw UnknownTokenMissing();
                if (isUnknownPending && !_options.FusesUnknown)
                    workspace.Add(_unknownId.Value);
                isUnknownPending = true;
            }
        }

        if (isUnknownPending)
            workspace.Add(_unknownId!.Value);
    }

    private int GetSymbol(ReadOnlySpan<char> character, bool isFirst, bool isLast)
    {
        if (_options.HasAffixes)
            return _vocabulary.TryGetValue(Decorate(character, isFirst, isLast), out int decorated) ? IfAllowed(decorated) : -1;
        if (character[0] < NumDirectCharacters)
            return _directIds[character[0]];
        return _lookup.TryGetValue(character, out int id) ? IfAllowed(id) : -1;
    }

    private int IfAllowed(int id) => _forbiddenIds is not null && _forbiddenIds.Contains(id) ? -1 : id;

    private bool TryAddBytes(ReadOnlySpan<char> character, bool isFirst, bool isLast, MergeWorkspace workspace)
    {
        if (_byteIds is null)
            return false;
        if (_options.HasAffixes)
            character = Decorate(character, isFirst, isLast);
        Span<byte> utf8 = stackalloc byte[character.Length * 3 <= 128 ? 128 : 0];
        if (utf8.IsEmpty)
            utf8 = new byte[character.Length * 3];
        utf8 = utf8[..Encoding.UTF8.GetBytes(character, utf8)];
        foreach (byte value in utf8)
        {
            if (_byteIds[value] < 0)
                return false;
        }

        foreach (byte value in utf8)
            workspace.Add(_byteIds[value]);
        return true;
    }

    private string Decorate(ReadOnlySpan<char> character, bool isFirst, bool isLast) =>
        string.Concat(isFirst ? "" : _options.ContinuingPrefix, character, isLast ? _options.EndOfWordSuffix : "");

    private TokenizerFormatException UnknownTokenMissing() => new(
        _options.Source, "$.model.unk_token",
        $"the text needs the unknown token '{Json.JsonField.Shorten(_options.UnknownToken!)}', which the vocabulary does not contain");
}
