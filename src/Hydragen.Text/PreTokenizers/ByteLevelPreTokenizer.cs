namespace Hydragen.Text.PreTokenizers;

/// <summary>Optionally leads with a space and cuts as GPT-2 does, then writes every UTF-8 byte as its printable stand-in.</summary>
internal sealed class ByteLevelPreTokenizer(bool addsPrefixSpace, bool usesRegex) : PreTokenizer
{
    private static readonly SplitPreTokenizer Gpt2Split = new(new Gpt2Scanner(), SplitBehavior.Isolated, isInverted: false);

    public override void Apply(PieceBuffer buffer)
    {
        if (addsPrefixSpace)
            AddPrefixSpaces(buffer);
        if (usesRegex)
            Gpt2Split.Apply(buffer);
        foreach (Piece piece in buffer.Pieces)
        {
            Span<char> room = buffer.Reserve(checked(3 * piece.Length));
            buffer.EmitWritten(piece, ByteLevelAlphabet.Encode(buffer.TextOf(piece), room));
        }

        buffer.CommitText();
    }

    private static void AddPrefixSpaces(PieceBuffer buffer)
    {
        foreach (Piece piece in buffer.Pieces)
        {
            ReadOnlySpan<char> text = buffer.TextOf(piece);
            int numSpaces = text[0] == ' ' ? 0 : 1;
            Span<char> room = buffer.Reserve(text.Length + numSpaces);
            room[0] = ' ';
            text.CopyTo(room[numSpaces..]);
            buffer.EmitWritten(piece, room.Length);
        }

        buffer.CommitText();
    }
}
