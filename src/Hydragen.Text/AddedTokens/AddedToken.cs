namespace Hydragen.Text.AddedTokens;

/// <summary>A token that is cut out of the text before the model sees it.</summary>
/// <param name="Id">Token id.</param>
/// <param name="Content">The text that it matches.</param>
/// <param name="IsSingleWord">Matches only where neither neighbour is a word character.</param>
/// <param name="StripsLeft">Swallows white space before it.</param>
/// <param name="StripsRight">Swallows white space behind it.</param>
/// <param name="IsNormalized">Matches, itself normalized, in the normalized text instead of the text as given.</param>
/// <param name="IsSpecial">A control token, left out of decoded text on request.</param>
internal sealed record AddedToken(
    int Id, string Content, bool IsSingleWord, bool StripsLeft, bool StripsRight, bool IsNormalized, bool IsSpecial);
