using Hydragen.Text.AddedTokens;
using Hydragen.Text.Normalizers;

namespace Hydragen.Text;

/// <summary>Both directions between token ids and token texts, model pieces and added tokens together.</summary>
internal sealed class Vocabulary
{
    private readonly Dictionary<string, int> _ids;
    private readonly string?[] _dense;
    private readonly Dictionary<int, string>? _sparse;
    private readonly HashSet<int> _specialIds;
    private readonly HashSet<int> _skippedIds = [];
    private readonly Dictionary<int, string> _normalizedTexts = [];

    public Vocabulary(Dictionary<string, int> modelIds, IReadOnlyCollection<AddedToken> addedTokens, Normalizer? normalizer)
    {
        _ids = new Dictionary<string, int>(modelIds.Count + addedTokens.Count);
        _specialIds = [];
        int maximumId = -1;
        foreach ((string token, int id) in modelIds)
        {
            _ids.Add(token, id);
            maximumId = Math.Max(maximumId, id);
        }

        foreach (AddedToken token in addedTokens)
        {
            _ids[token.Content] = token.Id;
            maximumId = Math.Max(maximumId, token.Id);
            if (token.IsSpecial)
                _specialIds.Add(token.Id);
            if (token.IsNormalized && normalizer is not null)
                _normalizedTexts.Add(token.Id, normalizer.Apply(token.Content));
        }

        foreach (int id in _specialIds)
        {
            if (!_normalizedTexts.TryGetValue(id, out string? text) || _ids.TryGetValue(text, out int other) && IsSpecial(other))
                _skippedIds.Add(id);
        }

        Size = maximumId + 1;

        // A tiny file may name one huge id: only ids near the number of tokens get an array slot.
        _dense = new string?[(int)Math.Min(Size, 4L * _ids.Count + 65536)];
        foreach ((string token, int id) in _ids)
        {
            if (id < _dense.Length)
                _dense[id] = token;
            else
                (_sparse ??= []).Add(id, token);
        }
    }

    /// <summary>Largest id plus one.</summary>
    public int Size { get; }

    public string? GetToken(int id)
    {
        if ((uint)id < (uint)_dense.Length)
            return _dense[id];
        return _sparse is not null && _sparse.TryGetValue(id, out string? token) ? token : null;
    }

    /// <summary>The text of a token that decoding starts from: added tokens that match normalized text are normalized.</summary>
    public string? GetDecodableToken(int id) =>
        _normalizedTexts.Count > 0 && _normalizedTexts.TryGetValue(id, out string? normalized) ? normalized : GetToken(id);

    /// <summary>Whether decoding leaves a token out on request.</summary>
    /// <remarks>
    /// Control tokens, but for those whose normalized text is not itself a control token: the format's reference
    /// implementation compares texts.
    /// </remarks>
    public bool IsSkipped(int id) => _skippedIds.Contains(id);

    public int? GetId(string token) => _ids.TryGetValue(token, out int id) ? id : null;

    public bool IsSpecial(int id) => _specialIds.Contains(id);
}
