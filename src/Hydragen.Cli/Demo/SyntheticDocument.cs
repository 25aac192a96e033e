namespace Hydragen.Cli.Demo;

/// <summary>A document that nobody has read before, with questions about it.</summary>
/// <param name="Text">The document.</param>
/// <param name="Questions">The questions, in random order.</param>
/// <param name="NumTokens">Tokens of <paramref name="Text"/>, special tokens not counted.</param>
/// <param name="NumFacts">Facts that the document states.</param>
/// <param name="MaxQuestions">Different questions that can be asked about them.</param>
internal sealed record SyntheticDocument(
    string Text,
    IReadOnlyList<SyntheticQuestion> Questions,
    int NumTokens,
    int NumFacts,
    int MaxQuestions);
