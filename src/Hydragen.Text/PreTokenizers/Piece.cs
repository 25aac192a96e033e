namespace Hydragen.Text.PreTokenizers;

/// <summary>A range of the text of a <see cref="PieceBuffer"/> that goes to the model on its own.</summary>
/// <param name="Start">First UTF-16 unit.</param>
/// <param name="Length">Length in UTF-16 units.</param>
/// <param name="IsTextStart">Whether the piece begins where the text that was given to the tokenizer begins.</param>
internal readonly record struct Piece(int Start, int Length, bool IsTextStart);
