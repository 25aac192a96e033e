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

    // Copies of the document for all questions would take 12 GiB at the default sizes, which a demo should not ask for.
    private const long DefaultKvMebibytes = 4096;

    private const string Details = """
        Writes a document that the model has never seen, asks all questions in one batch, and compares
        attention that shares the document with attention that reads a copy for each question. Copies
        that do not fit into --max-kv-memory wait for others to end.
        With --json, standard output gets one line with the measurements of both runs.
        """;

    public static Command Create(Terminal terminal)
    {
        var command = new Verb("demo", "Ask hundreds of questions about a fresh document, with sharing and without.", Details);
        var seed = Values.OptionalInteger(
            "--seed", "Makes the document and the questions reproducible; drawn and shown when not given.", int.MinValue, int.MaxValue);
        var documentTokens = Values.Integer("--document-tokens", "Length of the document.", 4096, 1, int.MaxValue);
        var questions = Values.Integer("--questions", "Questions to ask.", 256, 1, int.MaxValue);
        var json = new Option<bool>("--json") { Description = "Print the measurements as one JSON line to standard output." };
        command.Options.Add(seed);
        command.Options.Add(documentTokens);
        command.Options.Add(questions);
        command.Options.Add(json);
        var model = new ModelArguments(command, isRequired: false, DefaultKvMebibytes);
        command.Handle(terminal, async (parsed, cancellationToken) =>
        {
            int chosenSeed = parsed.GetValue(seed) ?? Random.Shared.Next(MaxSeed);
            await using LanguageModel languageModel = await model.LoadAsync(parsed, terminal, cancellationToken);
            if (languageModel.Tokenizer is null) throw new InputException("The demo needs a model with a tokenizer.");
            SyntheticDocument document = Write(languageModel, chosenSeed, parsed.GetValue(documentTokens), parsed.GetValue(questions));
            CheckContext(languageModel, document);
            terminal.Note(
                $"A document of {StatisticsTable.Count(document.NumTokens)} tokens (seed {chosenSeed}), {document.Questions.Count} question{(document.Questions.Count == 1 ? "" : "s")}, {languageModel.Engine.Model.Backend.Description}{StatisticsTable.WeightType(languageModel.Engine.Model)}");

            await WarmUpAsync(terminal, languageModel, chosenSeed, parsed.GetValue(documentTokens), document.Questions.Count, cancellationToken);
            DemoRun shared = await AnswerAsync(terminal, languageModel, document, SharingMode.Hydragen, "With sharing", cancellationToken);
            DemoRun copied = await AnswerAsync(terminal, languageModel, document, SharingMode.Copied, "Without sharing", cancellationToken);
            var report = new DemoReport(chosenSeed, document, shared, copied);
            report.WriteTable(terminal);
            if (parsed.GetValue(json)) report.WriteJson(terminal);
        });
        return command;
    }

    private static SyntheticDocument Write(LanguageModel model, int seed, int documentTokens, int numQuestions)
    {
        int contextLength = model.Configuration.MaxContextLength;
        if (documentTokens >= contextLength)
            throw new InputException($"--document-tokens {documentTokens} leaves no room for a question: the model's context holds {contextLength} tokens.");
        int numSpecialTokens = model.Tokenizer!.Encode("").Length;
        try
        {
            return new SyntheticDocumentGenerator(Grammar.Default).Generate(
                seed, documentTokens - numSpecialTokens, numQuestions, text => model.Tokenizer.Encode(text, addSpecialTokens: false).Length);
        }
        catch (ArgumentException exception)
        {
            throw new InputException($"--document-tokens {documentTokens}, --questions {numQuestions}: {exception.Message}", exception);
        }
    }

    /// <summary>Finds out before the long work that the longest question and its answer fit behind the document.</summary>
    private static void CheckContext(LanguageModel model, SyntheticDocument document)
    {
        int room = model.Configuration.MaxContextLength - model.Tokenizer!.Encode(document.Text).Length;
        int needed = DocumentQuestions.Options.MaxNewTokens + document.Questions.Max(
            question => model.Tokenizer.Encode(Grammar.Default.PromptSuffix(question.Text), addSpecialTokens: false).Length);
        if (room < needed)
        {
            throw new InputException(
                $"The document leaves {room} of the {model.Configuration.MaxContextLength} tokens of the model's context; a question and its answer need {needed}. Give fewer --document-tokens.");
        }
    }

    /// <summary>Runs both modes on something small, so that no measurement pays for compiling the program.</summary>
    private static async Task WarmUpAsync(Terminal terminal, LanguageModel model, int seed, int documentTokens, int numQuestions, CancellationToken cancellationToken)
    {
        SyntheticDocument document = numQuestions > 32 && documentTokens > 1024
            ? Write(model, seed, documentTokens: 1024, numQuestions: 32) : Write(model, seed, documentTokens, Math.Min(32, numQuestions));
        foreach (SharingMode mode in (SharingMode[])[SharingMode.Hydragen, SharingMode.Copied])
        {
            for (int i = 0; i < 2; i++) await AnswerAsync(terminal, model, document, mode, "Warming up", cancellationToken);
        }
    }

    private static Task<DemoRun> AnswerAsync(
        Terminal terminal, LanguageModel model, SyntheticDocument document, SharingMode mode, string title, CancellationToken cancellationToken) =>
        terminal.WithGenerationProgressAsync(title, printsMeanwhile: false, async progress =>
        {
            PromptNode tree = DocumentQuestions.Tree(document.Text, document.Questions.Select(question => question.Text));
            GenerationOutput output = await model.GenerateTreeAsync(
                [tree], DocumentQuestions.Options with { Sharing = mode, Progress = progress }, cancellationToken);
            return new DemoRun(output.Statistics, [.. output.Results.Select(result => result.Text!.Trim())]);
        });
}
