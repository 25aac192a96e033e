using System.Runtime.InteropServices;

namespace Hydragen.Text.PreTokenizers;

/// <summary>A text cut into pieces, which pre-tokenizers cut further or rewrite. Reused from text to text.</summary>
/// <remarks>
/// A step reads <see cref="Text"/> and <see cref="Pieces"/>, writes the next state, and commits it: <see cref="Emit"/> with
/// <see cref="CommitPieces"/> cuts the same text, <see cref="Reserve"/> and <see cref="EmitWritten"/> with
/// <see cref="CommitText"/> replaces it. Empty pieces vanish.
/// </remarks>
internal sealed class PieceBuffer
{
    private char[] _text = new char[256];
    private char[] _nextText = new char[256];
    private List<Piece> _pieces = [];
    private List<Piece> _nextPieces = [];
    private int _length;
    private int _nextLength;

    public ReadOnlySpan<char> Text => _text.AsSpan(0, _length);

    public ReadOnlySpan<Piece> Pieces => CollectionsMarshal.AsSpan(_pieces);

    /// <summary>UTF-16 units that the buffers have room for.</summary>
    public int Capacity => Math.Max(_text.Length, _nextText.Length);

    public ReadOnlySpan<char> TextOf(Piece piece) => _text.AsSpan(piece.Start, piece.Length);

    /// <summary>Starts over with a text as one piece.</summary>
    public void Reset(ReadOnlySpan<char> text, bool isTextStart)
    {
        if (_text.Length < text.Length)
            _text = new char[text.Length];
        text.CopyTo(_text);
        _length = text.Length;
        _pieces.Clear();
        _nextPieces.Clear();
        _nextLength = 0;
        if (text.Length > 0)
            _pieces.Add(new Piece(0, text.Length, isTextStart));
    }

    /// <summary>Adds a part of <paramref name="piece"/> to the next state.</summary>
    /// <param name="piece">The piece that is being cut.</param>
    /// <param name="start">Start of the part, counted from the start of the piece.</param>
    /// <param name="length">Length of the part.</param>
    public void Emit(Piece piece, int start, int length)
    {
        if (length > 0)
            _nextPieces.Add(new Piece(piece.Start + start, length, piece.IsTextStart && start == 0));
    }

    public void CommitPieces()
    {
        (_pieces, _nextPieces) = (_nextPieces, _pieces);
        _nextPieces.Clear();
    }

    /// <summary>Room for the rewritten text of one piece.</summary>
    public Span<char> Reserve(int length)
    {
        int needed = checked(_nextLength + length);
        if (_nextText.Length < needed)
            Array.Resize(ref _nextText, (int)Math.Min(Math.Max(needed, 2L * _nextText.Length), Array.MaxLength));
        return _nextText.AsSpan(_nextLength, length);
    }

    /// <summary>Adds the first <paramref name="length"/> characters of the reserved room as the rewriting of a piece.</summary>
    public void EmitWritten(Piece piece, int length)
    {
        if (length > 0)
            _nextPieces.Add(new Piece(_nextLength, length, piece.IsTextStart));
        _nextLength += length;
    }

    public void CommitText()
    {
        (_text, _nextText) = (_nextText, _text);
        _length = _nextLength;
        _nextLength = 0;
        CommitPieces();
    }
}
