namespace Hydragen.Text.PreTokenizers;

/// <summary>Cuts at the matches of a pattern.</summary>
/// <param name="pattern">Finds the matches.</param>
/// <param name="behavior">What becomes of them.</param>
/// <param name="isInverted">Whether matches and the stretches between them change places.</param>
internal sealed class SplitPreTokenizer(SplitPattern pattern, SplitBehavior behavior, bool isInverted) : PreTokenizer
{
    public override void Apply(PieceBuffer buffer)
    {
        SplitPattern search = pattern.Prepare();
        foreach (Piece piece in buffer.Pieces)
        {
            ReadOnlySpan<char> text = buffer.TextOf(piece);
            SplitCollector collector = new(buffer, piece, behavior);
            int end = 0;
            while (end < text.Length && search.TryFind(text, end, out int start, out int length))
            {
                if (start > end)
                    collector.Add(end, start, isInverted);
                end = start + length;
                collector.Add(start, end, !isInverted);
            }

            if (end < text.Length)
                collector.Add(end, text.Length, isInverted);
            collector.Complete();
        }

        buffer.CommitPieces();
    }
}
