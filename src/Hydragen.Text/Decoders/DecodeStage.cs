namespace Hydragen.Text.Decoders;

/// <summary>One running step from token texts to decoded text. Holds the state of one stream; not for concurrent use.</summary>
/// <remarks>
/// Token texts come in order. One token may come in several parts, the last of which says so; a step that joins all tokens
/// into one thereby passes text on before it has seen the end.
/// </remarks>
internal abstract class DecodeStage
{
    /// <summary>Takes the next part of the current token.</summary>
    /// <param name="text">Well-formed UTF-16; may be empty.</param>
    /// <param name="endsToken">Whether the token ends with this part.</param>
    public abstract void Write(ReadOnlySpan<char> text, bool endsToken);

    /// <summary>Says that there are no more tokens; passes on what was held back.</summary>
    public abstract void Complete();
}
