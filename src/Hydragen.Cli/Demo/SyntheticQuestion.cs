namespace Hydragen.Cli.Demo;

/// <summary>A question about one fact of a <see cref="SyntheticDocument"/>.</summary>
/// <param name="Text">The question.</param>
/// <param name="ExpectedValue">What a right answer must contain.</param>
/// <param name="ExpectedAnswer">The whole answer, with its leading space.</param>
/// <param name="Position">Where the fact stands in the document, from 0 to 1, in tokens.</param>
internal sealed record SyntheticQuestion(string Text, string ExpectedValue, string ExpectedAnswer, double Position);
