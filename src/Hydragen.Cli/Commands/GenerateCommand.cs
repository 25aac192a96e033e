using System.CommandLine;
using Hydragen.Cli.Input;
using Hydragen.Cli.Output;
using Hydragen.Engine;

namespace Hydragen.Cli.Commands;

/// <summary>Completes prompts, levels of prompts or a prompt tree; one JSON line a sample.</summary>
internal static class GenerateCommand
{
    public static Command Create()
    {
        var command = new Command("generate",
            "Complete prompts; prints one JSON line a sample: {\"path\":[..],\"sample\":i,\"ids\":[..],\"text\":\"..\",\"finish_reason\":\"stop|length\"}. " +
            "The path holds the child indexes from the root; a single prompt, or a single first part, is the root itself.");
        var model = new ModelArguments(command, isRequired: true);
        var prompt = new Option<string[]>("--prompt") { Description = "A prompt; repeatable, common prefixes are found.", DefaultValueFactory = _ => [] };
        var levels = new Option<string[]>("--prompts")
        {
            Description = "One level of a tree, alternatives separated by '|'; repeated for further levels.",
            DefaultValueFactory = _ => [],
        };
        var tree = new Option<string?>("--tree") { Description = "JSON file: {\"text\"|\"ids\", \"children\":[..], \"samples\":n}." };
        var samples = new Option<int>("--samples") { Description = "Completions of each prompt.", DefaultValueFactory = _ => 1 };
        var stats = new Option<bool>("--stats") { Description = "Print statistics to standard error." };
        command.Options.Add(prompt);
        command.Options.Add(levels);
        command.Options.Add(tree);
        command.Options.Add(samples);
        command.Options.Add(stats);
        var sampling = new SamplingArguments(command);
        command.Handle(async (parsed, cancellationToken) =>
        {
            GenerationOptions options = sampling.Read(parsed) with { SamplesPerPrompt = parsed.GetValue(samples) };
            (IReadOnlyList<PromptNode> roots, bool isFlat, bool isSingle) = ReadPrompts(
                parsed.GetValue(prompt)!, parsed.GetValue(levels)!, parsed.GetValue(tree));
            options.Validate();
            await using LanguageModel languageModel = await model.LoadAsync(parsed, cancellationToken);
            GenerationStatistics statistics = await Terminal.WithGenerationProgressAsync(
                "Generating", progress => Task.Run(() => Run(languageModel, roots, isFlat, isSingle, options with { Progress = progress }, cancellationToken), CancellationToken.None));
            if (parsed.GetValue(stats)) StatisticsTable.Write(statistics);
        });
        return command;
    }

    private static GenerationStatistics Run(
        LanguageModel model, IReadOnlyList<PromptNode> roots, bool isFlat, bool isSingle, GenerationOptions options, CancellationToken cancellationToken)
    {
        using var output = new JsonLines();
        var ordered = new OrderedResults(result => Write(output, result, isSingle ? 1 : 0));
        return isFlat
            ? model.Engine.Generate(roots, options, null, ordered.Add, null, cancellationToken)
            : model.Engine.GenerateTree(roots, options, null, ordered.Add, null, cancellationToken);
    }

    private static void Write(JsonLines output, GenerationResult result, int skippedRoot) => output.Write(json =>
    {
        json.WriteNumbers("path", result.Path.Skip(skippedRoot));
        json.WriteNumber("sample", result.SampleIndex);
        json.WriteNumbers("ids", result.TokenIds);
        json.WriteString("text", result.Text);
        json.WriteString("finish_reason", result.FinishReason == FinishReason.Stop ? "stop" : "length");
        if (result.LogProbabilities is not null) json.WriteNumbers("logprobs", result.LogProbabilities);
    });

    private static (IReadOnlyList<PromptNode> Roots, bool IsFlat, bool IsSingle) ReadPrompts(string[] prompts, string[] levels, string? tree)
    {
        int given = (prompts.Length > 0 ? 1 : 0) + (levels.Length > 0 ? 1 : 0) + (tree is null ? 0 : 1);
        if (given != 1) throw new InputException("Give one of --prompt, --prompts and --tree.");
        if (tree is not null)
        {
            (IReadOnlyList<PromptNode> roots, bool isSingle) = PromptTreeFile.Read(tree);
            return (roots, false, isSingle);
        }
        if (prompts.Length > 0) return ([.. prompts.Select(text => PromptNode.FromText(text))], true, prompts.Length == 1);
        IReadOnlyList<PromptNode> children = [];
        foreach (string level in levels.Reverse()) children = [.. level.Split('|').Select(text => PromptNode.FromText(text, children))];
        return (children, false, children.Count == 1);
    }
}
