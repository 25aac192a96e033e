using System.CommandLine;
using Hydragen.Cli.Demo;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Hydragen.Engine;

namespace Hydragen.Cli.Commands;

/// <summary>The main job on a fresh synthetic document: all questions in one batch, with sharing and without.</summary>
internal static class DemoCommand
{
    private const int MaxSeed = 1_000_000;

    public static Command Create()
    {
        var command = new Command("demo",
            "Write a fresh document, ask many questions about it in one batch, and compare attention that shares the document with attention that does not.");
        var seed = new Option<int?>("--seed") { Description = "Makes the document and the questions reproducible; drawn and shown when not given." };
        var documentTokens = new Option<int>("--document-tokens") { Description = "Length of the document.", DefaultValueFactory = _ => 4096 };
        var questions = new Option<int>("--questions") { Description = "Questions to ask.", DefaultValueFactory = _ => 256 };
        var json = new Option<bool>("--json") { Description = "Print the measurements as one JSON line to standard output." };
        command.Options.Add(seed);
        command.Options.Add(documentTokens);
        command.Options.Add(questions);
        command.Options.Add(json);
        var model = new ModelArguments(command, isRequired: false);
        command.Handle(async (parsed, cancellationToken) =>
        {
            int chosenSeed = parsed.GetValue(seed) ?? Random.Shared.Next(MaxSeed);
            await using LanguageModel languageModel = await model.LoadAsync(parsed, cancellationToken);
            if (languageModel.Tokenizer is null) throw new InputException("The demo needs a model with a tokenizer.");
            SyntheticDocument document = Write(languageModel, chosenSeed, parsed.GetValue(documentTokens), parsed.GetValue(questions));
            Terminal.Note(
                $"A document of {StatisticsTable.Count(languageModel.Tokenizer.Encode(document.Text).Length)} tokens (seed {chosenSeed}), {document.Questions.Count} questions, {languageModel.Engine.Model.Backend.Description}");

            await WarmUpAsync(languageModel, chosenSeed, cancellationToken);
            DemoRun shared = await AnswerAsync(languageModel, document, SharingMode.Hydragen, "With sharing", cancellationToken);
            DemoRun copied = await AnswerAsync(languageModel, document, SharingMode.Copied, "Without sharing", cancellationToken);
            var report = new DemoReport(chosenSeed, document, shared, copied);
            report.WriteTable();
            if (parsed.GetValue(json)) report.WriteJson();
        });
        return command;
    }

    private static SyntheticDocument Write(LanguageModel model, int seed, int documentTokens, int numQuestions)
    {
        if (documentTokens >= model.Configuration.MaxContextLength)
            throw new InputException($"--document-tokens {documentTokens} leaves no room for a question: the model's context holds {model.Configuration.MaxContextLength} tokens.");
        int numSpecialTokens = model.Tokenizer!.Encode("").Length;
        return new SyntheticDocumentGenerator(Grammar.Default).Generate(
            seed, documentTokens - numSpecialTokens, numQuestions, text => model.Tokenizer.Encode(text, addSpecialTokens: false).Length);
    }

    /// <summary>Runs both modes on something small, so that no measurement pays for compiling the program.</summary>
    private static async Task WarmUpAsync(LanguageModel model, int seed, CancellationToken cancellationToken)
    {
        SyntheticDocument document = Write(model, seed, documentTokens: 1024, numQuestions: 32);
        foreach (SharingMode mode in (SharingMode[])[SharingMode.Hydragen, SharingMode.Copied])
        {
            for (int i = 0; i < 2; i++) await AnswerAsync(model, document, mode, "Warming up", cancellationToken);
        }
    }

    private static Task<DemoRun> AnswerAsync(
        LanguageModel model, SyntheticDocument document, SharingMode mode, string title, CancellationToken cancellationToken) =>
        Terminal.WithGenerationProgressAsync(title, async progress =>
        {
            PromptNode tree = DocumentQuestions.Tree(document.Text, document.Questions.Select(question => question.Text));
            GenerationOutput output = await model.GenerateTreeAsync(
                [tree], DocumentQuestions.Options with { Sharing = mode, Progress = progress }, cancellationToken);
            return new DemoRun(output.Statistics, [.. output.Results.Select(result => result.Text!.Trim())]);
        });
}
