using System.Text.Json;
using Hydragen.Cli.Demo;
using Hydragen.Core;
using Hydragen.Text;

namespace Hydragen.Cli.Bench;

/// <summary>Questions about one document.</summary>
/// <param name="Questions">How many at once; the points.</param>
/// <param name="DocumentTokens">The most tokens of the document.</param>
/// <param name="NewTokens">New tokens of each answer.</param>
/// <param name="Seed">Of the document.</param>
internal sealed record NeedlesPlan(IReadOnlyList<int> Questions, int DocumentTokens, int NewTokens, int Seed) : IGenerationPlan
{
    public int? ContextLength => null;

    public int MaxSequences => Questions.Max();

    public IReadOnlyList<string> Modes { get; } = [.. Enum.GetValues<SharingMode>().Select(mode => mode.Name())];

    public int NumDefaultModes => Modes.Count;

    public void WriteSettings(Utf8JsonWriter json)
    {
        json.WriteString("protocol", GenerationProtocols.Needles);
        json.WriteNumber("document_tokens", DocumentTokens);
        json.WriteNumber("new_tokens", NewTokens);
        json.WriteNumber("seed", Seed);
    }

    public IGenerationProtocol Create(GenerationContext context)
    {
        Tokenizer tokenizer = context.Model.Tokenizer
            ?? throw new InputException("The needles protocol reads and writes text; it needs a model with a tokenizer, not random weights.");
        SyntheticDocument document = WriteDocument(tokenizer);
        int[][] questions = [.. document.Questions.Select(question => tokenizer.Encode(Grammar.Default.PromptSuffix(question.Text), addSpecialTokens: false))];
        int[] text = tokenizer.Encode(document.Text);
        int length = text.Length + questions.Max(question => question.Length) + NewTokens, limit = context.Model.Configuration.MaxContextLength;
        if (length > limit)
            throw new InputException($"The document, a question and {NewTokens} new tokens take {length} tokens, but the model's context holds {limit}; give fewer --document-tokens.");
        return new NeedlesProtocol(context, this, document, text, questions);
    }

    /// <summary>A document with as many questions as it can answer, or as are needed.</summary>
    private SyntheticDocument WriteDocument(Tokenizer tokenizer)
    {
        var generator = new SyntheticDocumentGenerator(Grammar.Default);
        int numTokens = DocumentTokens - tokenizer.Encode("").Length;
        int Count(string text) => tokenizer.Encode(text, addSpecialTokens: false).Length;
        try
        {
            int most = generator.Generate(Seed, numTokens, 0, Count).MaxQuestions;
            if (most == 0) throw new InputException($"--document-tokens {DocumentTokens} leaves no room for a fact to ask about.");
            return generator.Generate(Seed, numTokens, Math.Min(most, MaxSequences), Count);
        }
        catch (ArgumentException exception)
        {
            throw new InputException($"--document-tokens {DocumentTokens}: {exception.Message}", exception);
        }
    }
}
