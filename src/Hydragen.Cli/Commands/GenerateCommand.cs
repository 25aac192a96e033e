using System.CommandLine;
using Hydragen.Cli.Input;
using Hydragen.Cli.Output;
using Hydragen.Engine;

namespace Hydragen.Cli.Commands;

/// <summary>Completes prompts, levels of prompts or a prompt tree; one JSON line a sample.</summary>
internal static class GenerateCommand
{
    private const string Details = """
        Output: one JSON line a sample, in the order of prompts and samples:
          {"path":[..],"sample":i,"ids":[..],"text":"..","finish_reason":"stop|length","logprobs":[..]}
          path holds the child indexes from the root. A single prompt, or a single first part, is the root
          itself; with several, the path begins with the number of the root. logprobs only with --logprobs;
          text is null when the model has no tokenizer.

        Examples:
          hydragen generate --model DIR --prompt "Once upon a time" --max-new-tokens 32 --temperature 0
          hydragen generate --model DIR --prompts "A long story. " --prompts "Who?|Where?" --samples 4
          hydragen generate --model DIR --tree tree.json --seed 1 > samples.jsonl
          tree.json: {"text":"A long story. ","children":[{"text":"Who?","samples":4},{"ids":[5,6]}]}
        """;

    public static Command Create(Terminal terminal)
    {
        var command = new Verb("generate", "Complete prompts, levels of prompts, or a prompt tree.", Details);
        var prompt = new Option<string[]>("--prompt") { Description = "A prompt; repeatable, common prefixes are found.", DefaultValueFactory = _ => [] };
        var levels = new Option<string[]>("--prompts")
        {
            Description = "One level of a tree, alternatives separated by '|'; repeated for further levels.",
            DefaultValueFactory = _ => [],
        };
        var tree = new Option<string?>("--tree") { Description = "JSON file: {\"text\"|\"ids\", \"children\":[..], \"samples\":n}." };
        var stats = new Option<bool>("--stats") { Description = "Print statistics to standard error." };
        command.Options.Add(prompt);
        command.Options.Add(levels);
        command.Options.Add(tree);
        command.Options.Add(stats);
        var model = new ModelArguments(command, isRequired: true);
        var sampling = new SamplingArguments(command);
        command.Handle(terminal, async (parsed, cancellationToken) =>
        {
            GenerationOptions options = sampling.Read(parsed);
            (IReadOnlyList<PromptNode> roots, bool isFlat, bool isSingle) = ReadPrompts(
                parsed.GetValue(prompt)!, parsed.GetValue(levels)!, parsed.GetValue(tree));
            CheckCompletions(roots, options);
            await using LanguageModel languageModel = await model.LoadAsync(parsed, terminal, cancellationToken);
            GenerationStatistics statistics = await terminal.WithGenerationProgressAsync(
                "Generating", printsMeanwhile: true, progress => Task.Run(() => Run(languageModel, terminal, roots, isFlat, isSingle, options with { Progress = progress }, cancellationToken), CancellationToken.None));
            if (parsed.GetValue(stats)) StatisticsTable.Write(terminal, statistics, languageModel.Engine.Model);
        });
        return command;
    }

    private static GenerationStatistics Run(
        LanguageModel model, Terminal terminal, IReadOnlyList<PromptNode> roots, bool isFlat, bool isSingle, GenerationOptions options, CancellationToken cancellationToken)
    {
        var output = new JsonLines(terminal.Output);
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

    /// <summary>Refuses a tree that multiplies to more than a call can hold; stops counting there.</summary>
    private static void CheckCompletions(IReadOnlyList<PromptNode> roots, GenerationOptions options)
    {
        long total = 0;
        Count(roots);

        void Count(IReadOnlyList<PromptNode> nodes)
        {
            foreach (PromptNode node in nodes)
            {
                total += node.Samples ?? (node.Children.Count == 0 ? options.SamplesPerPrompt : 0);
                if (total > SamplingArguments.MaxSamples)
                    throw new InputException($"The prompts ask for more than {SamplingArguments.MaxSamples} completions; give fewer prompts or samples.");
                Count(node.Children);
            }
        }
    }

    private static (IReadOnlyList<PromptNode> Roots, bool IsFlat, bool IsSingle) ReadPrompts(string[] prompts, string[] levels, string? tree)
    {
        int given = (prompts.Length > 0 ? 1 : 0) + (levels.Length > 0 ? 1 : 0) + (tree is null ? 0 : 1);
        if (given != 1) throw new InputException(given == 0 ? "Give a prompt: --prompt, --prompts or --tree." : "Give only one of --prompt, --prompts and --tree.");
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
