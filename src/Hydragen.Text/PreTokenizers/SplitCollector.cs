namespace Hydragen.Text.PreTokenizers;

/// <summary>Turns the alternating matches and stretches of one piece into pieces, as a <see cref="SplitBehavior"/> says.</summary>
internal ref struct SplitCollector(PieceBuffer buffer, Piece piece, SplitBehavior behavior)
{
    private int _pendingStart;
    private int _pendingEnd;
    private bool _isPendingMatch;
    private bool _hasPending;

    /// <summary>Takes the next range; ranges follow one another without gaps.</summary>
    public void Add(int start, int end, bool isMatch)
    {
        bool joins = _hasPending && behavior switch
        {
            SplitBehavior.Contiguous => isMatch == _isPendingMatch,
            SplitBehavior.MergedWithPrevious => isMatch && !_isPendingMatch,
            SplitBehavior.MergedWithNext => !isMatch && _isPendingMatch,
            _ => false,
        };
        if (joins)
        {
            _pendingEnd = end;
            _isPendingMatch = isMatch;
            return;
        }

        Complete();
        if (isMatch && behavior == SplitBehavior.Removed)
            return;
        (_pendingStart, _pendingEnd, _isPendingMatch, _hasPending) = (start, end, isMatch, true);
    }

    /// <summary>Emits what is still held back.</summary>
    public void Complete()
    {
        if (_hasPending)
            buffer.Emit(piece, _pendingStart, _pendingEnd - _pendingStart);
        _hasPending = false;
    }
}
