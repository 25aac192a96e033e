using Hydragen.Text.AddedTokens;
using Hydragen.Text.Models;
using Hydragen.Text.Normalizers;
using Hydragen.Text.PreTokenizers;

namespace Hydragen.Text;

/// <summary>The way from text to ids: added tokens, normalizer, pre-tokenizer, model. Safe for concurrent use.</summary>
internal sealed class Encoder
{
    private readonly AddedTokenMatcher _rawTokens;
    private readonly AddedTokenMatcher _normalizedTokens;
    private readonly Normalizer? _normalizer;
    private readonly PreTokenizer? _preTokenizer;
    private readonly BytePairModel _model;

    // For text that must not give control tokens, not even through a piece that happens to equal one.
    private readonly BytePairModel _plainTextModel;

    // One workspace waits for the next caller; concurrent callers make their own.
    private EncodeWorkspace? _spare;

    public Encoder(TokenizerParts parts)
    {
        _normalizer = parts.Normalizer;
        _preTokenizer = parts.PreTokenizer;
        _model = parts.Model;
        _plainTextModel = parts.Model.Without(parts.AddedTokens.Where(t => t.IsSpecial).Select(t => t.Id));

        List<AddedToken> tokens = parts.AddedTokens;
        _rawTokens = new AddedTokenMatcher(tokens.Where(t => !t.IsNormalized).Select(t => (t.Content, t)));
        _normalizedTokens = new AddedTokenMatcher(
            tokens.Where(t => t.IsNormalized).Select(t => (_normalizer?.Apply(t.Content) ?? t.Content, t)));
    }

    /// <summary>Appends the ids of a text, without the template's tokens.</summary>
    public void Encode(ReadOnlySpan<char> text, bool parseSpecialTokens, List<int> output)
    {
        if (HasLoneSurrogate(text))
            text = ReplaceLoneSurrogates(text);

        EncodeWorkspace workspace = Interlocked.Exchange(ref _spare, null) ?? new EncodeWorkspace();
        List<AddedTokenMatch> matches = workspace.RawMatches;
        matches.Clear();
        _rawTokens.Split(text, parseSpecialTokens, matches);
        foreach (AddedTokenMatch match in matches)
        {
            if (match.Id >= 0)
                output.Add(match.Id);
            else
                EncodeStretch(text.Slice(match.Start, match.Length), match.Start == 0, parseSpecialTokens, workspace, output);
        }

        if (workspace.IsWorthKeeping)
            Volatile.Write(ref _spare, workspace);
    }

    private void EncodeStretch(
        ReadOnlySpan<char> text, bool isTextStart, bool parseSpecialTokens, EncodeWorkspace workspace, List<int> output)
    {
        if (_normalizer is not null)
            text = _normalizer.Apply(text.ToString());
        if (_normalizedTokens.IsEmpty)
        {
            EncodePlain(text, isTextStart, parseSpecialTokens, workspace, output);
            return;
        }

        List<AddedTokenMatch> matches = workspace.NormalizedMatches;
        matches.Clear();
        _normalizedTokens.Split(text, parseSpecialTokens, matches);
        foreach (AddedTokenMatch match in matches)
        {
            if (match.Id >= 0)
                output.Add(match.Id);
            else
                EncodePlain(text.Slice(match.Start, match.Length), isTextStart && match.Start == 0, parseSpecialTokens, workspace, output);
        }
    }

    private void EncodePlain(
        ReadOnlySpan<char> text, bool isTextStart, bool parseSpecialTokens, EncodeWorkspace workspace, List<int> output)
    {
        BytePairModel model = parseSpecialTokens ? _model : _plainTextModel;
        PieceBuffer buffer = workspace.Pieces;
        buffer.Reset(text, isTextStart);
        _preTokenizer?.Apply(buffer);
        foreach (Piece piece in buffer.Pieces)
            model.Encode(buffer.TextOf(piece), workspace.Merges, output);
    }

    private static bool HasLoneSurrogate(ReadOnlySpan<char> text)
    {
        for (int i = 0; i < text.Length; i++)
        {
            int next = text[i..].IndexOfAnyInRange('\uD800', '\uDFFF');
            if (next < 0)
                return false;
            i += next;
            if (!char.IsHighSurrogate(text[i]) || i + 1 == text.Length || !char.IsLowSurrogate(text[i + 1]))
                return true;
            i++;
        }

        return false;
    }

    /// <summary>Every lone surrogate becomes U+FFFD, as in encoding to UTF-8.</summary>
    private static char[] ReplaceLoneSurrogates(ReadOnlySpan<char> text)
    {
        char[] replaced = text.ToArray();
        for (int i = 0; i < replaced.Length; i++)
        {
            if (!char.IsSurrogate(replaced[i]))
                continue;
            if (char.IsHighSurrogate(replaced[i]) && i + 1 < replaced.Length && char.IsLowSurrogate(replaced[i + 1]))
                i++;
            else
                replaced[i] = '\uFFFD';
        }

        return replaced;
    }
}
