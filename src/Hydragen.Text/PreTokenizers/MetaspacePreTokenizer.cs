using System.Text;

namespace Hydragen.Text.PreTokenizers;

/// <summary>Writes spaces as a visible character, optionally leads with it, and optionally cuts before each of them.</summary>
internal sealed class MetaspacePreTokenizer(Rune replacement, MetaspacePrepend prepend, bool splits) : PreTokenizer
{
    private readonly string _replacement = replacement.ToString();
    private readonly SplitPreTokenizer _split =
        new(new LiteralPattern(replacement.ToString()), SplitBehavior.MergedWithNext, isInverted: false);

    public override void Apply(PieceBuffer buffer)
    {
        foreach (Piece piece in buffer.Pieces)
        {
            ReadOnlySpan<char> text = buffer.TextOf(piece);
            Span<char> room = buffer.Reserve(checked(_replacement.Length * (text.Length + 1)));
            int written = 0;
            bool isMarked = text[0] == ' ' || text.StartsWith(_replacement);
            if (!isMarked && (prepend == MetaspacePrepend.Always || prepend == MetaspacePrepend.First && piece.IsTextStart))
                Write(room, ref written);
            foreach (char c in text)
            {
                if (c == ' ')
                    Write(room, ref written);
                else
                    room[written++] = c;
            }

            buffer.EmitWritten(piece, written);
        }

        buffer.CommitText();
        if (splits)
            _split.Apply(buffer);
    }

    private void Write(Span<char> room, ref int written)
    {
        _replacement.CopyTo(room[written..]);
        written += _replacement.Length;
    }
}
