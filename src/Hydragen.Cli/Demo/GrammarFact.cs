namespace Hydragen.Cli.Demo;

/// <summary>A kind of fact: how it is stated, asked and answered.</summary>
/// <param name="Type">The kind's name.</param>
/// <param name="Key">The slots that identify a fact of this kind within a document.</param>
/// <param name="Value">The slot that is asked for.</param>
/// <param name="Statements">Sentences that state it.</param>
/// <param name="Questions">Sentences that ask for the value.</param>
/// <param name="Answer">The one sentence that answers.</param>
internal sealed record GrammarFact(
    string Type,
    IReadOnlyList<string> Key,
    string Value,
    IReadOnlyList<Template> Statements,
    IReadOnlyList<Template> Questions,
    Template Answer);
