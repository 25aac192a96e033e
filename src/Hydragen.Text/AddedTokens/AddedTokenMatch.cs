namespace Hydragen.Text.AddedTokens;

/// <summary>A stretch of text between added tokens, or one added token.</summary>
/// <param name="Start">First UTF-16 unit; used for stretches of text only.</param>
/// <param name="Length">Length in UTF-16 units; used for stretches of text only.</param>
/// <param name="Id">Id of the added token, or -1 for a stretch of text.</param>
internal readonly record struct AddedTokenMatch(int Start, int Length, int Id);
