using System.Diagnostics.CodeAnalysis;
using Hydragen.Text.Decoders;

namespace Hydragen.Text;

/// <summary>Decodes token ids one by one into text that never ends inside a character.</summary>
/// <remarks>
/// The results of all <see cref="Append"/> calls and of <see cref="Flush"/>, joined, equal
/// <see cref="Tokenizer.Decode"/> of all the ids. Not safe for concurrent use.
/// </remarks>
[SuppressMessage("Naming", "CA1711", Justification = "A stream of tokens, which is what generation calls it.")]
public sealed class TokenStream
{
    private readonly Tokenizer _tokenizer;
    private readonly bool _skipsSpecialTokens;
    private readonly TextSink _sink = new();
    private DecodeStage _stage;

    internal TokenStream(Tokenizer tokenizer, bool skipsSpecialTokens)
    {
        _tokenizer = tokenizer;
        _skipsSpecialTokens = skipsSpecialTokens;
        _stage = tokenizer.Decoder.Start(_sink);
    }

    /// <summary>Adds a token and returns the text that has become certain, which may be empty.</summary>
    /// <param name="id">Token id; an id that no token has adds nothing.</param>
    /// <exception cref="ArgumentOutOfRangeException">The id is negative or not below the vocabulary size.</exception>
    public string Append(int id)
    {
        Write(id);
        return _sink.Take();
    }

    /// <summary>Ends the text: returns what was held back, an unfinished character as U+FFFD, and starts over.</summary>
    public string Flush()
    {
        _stage.Complete();
        _stage = _tokenizer.Decoder.Start(_sink);
        return _sink.Take();
    }

    internal void Write(int id)
    {
        if ((uint)id >= (uint)_tokenizer.VocabularySize)
            throw Tokenizer.IdOutOfRange(id, _tokenizer.VocabularySize);
        string? token = _tokenizer.Vocabulary.GetDecodableToken(id);
        if (token is not null && !(_skipsSpecialTokens && _tokenizer.Vocabulary.IsSkipped(id)))
            _stage.Write(token, endsToken: true);
    }
}
