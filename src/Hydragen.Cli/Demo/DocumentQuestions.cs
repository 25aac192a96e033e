using Hydragen.Engine;

namespace Hydragen.Cli.Demo;

/// <summary>How questions about a document are put to a model: the document is the root, each question a child.</summary>
internal static class DocumentQuestions
{
    /// <summary>Greedy; an answer ends with its line.</summary>
    public static GenerationOptions Options { get; } = new()
    {
        MaxNewTokens = 64,
        Sampling = SamplingOptions.Greedy,
        StopStrings = ["\n"],
    };

    public static PromptNode Tree(string document, IEnumerable<string> questions) =>
        PromptNode.FromText(document, [.. questions.Select(question => PromptNode.FromText(Grammar.Default.PromptSuffix(question)))]);
}
