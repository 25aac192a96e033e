using System.CommandLine;
using Hydragen.Cli.Demo;
using Hydragen.Cli.Input;
using Hydragen.Cli.Output;
using Hydragen.Engine;

namespace Hydragen.Cli.Commands;

/// <summary>Answers questions about one document; one JSON line an answer, in the order of the questions.</summary>
internal static class AskCommand
{
    public static Command Create()
    {
        var command = new Command("ask",
            "Answer questions about a document, which is computed once for all of them; prints one JSON line a question: {\"question\":\"..\",\"answer\":\"..\"}. " +
            "The embedded model knows only the kind of documents that 'hydragen demo' writes; give a model of your own for other texts.");
        var document = new Option<string>("--document") { Description = "Text file with the document.", Required = true };
        var questions = new Option<string>("--questions") { Description = "Text file with one question a line.", Required = true };
        var maxNewTokens = new Option<int>("--max-new-tokens") { Description = "The most tokens of an answer.", DefaultValueFactory = _ => 64 };
        var stats = new Option<bool>("--stats") { Description = "Print statistics to standard error." };
        Option<string> sharing = SamplingArguments.MakeSharing();
        command.Options.Add(document);
        command.Options.Add(questions);
        command.Options.Add(maxNewTokens);
        command.Options.Add(sharing);
        command.Options.Add(stats);
        var model = new ModelArguments(command, isRequired: false);
        command.Handle(async (parsed, cancellationToken) =>
        {
            string text = InputFile.ReadText(parsed.GetValue(document)!).TrimEnd();
            if (text.Length == 0) throw new InputException($"The document '{parsed.GetValue(document)}' is empty.");
            string[] asked = InputFile.ReadText(parsed.GetValue(questions)!)
                .Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
            if (asked.Length == 0) throw new InputException($"The file '{parsed.GetValue(questions)}' holds no question.");
            GenerationOptions options = DocumentQuestions.Options with
            {
                MaxNewTokens = parsed.GetValue(maxNewTokens),
                Sharing = SamplingArguments.ParseSharing(parsed.GetValue(sharing)),
            };
            options.Validate();

            await using LanguageModel languageModel = await model.LoadAsync(parsed, cancellationToken);
            PromptNode tree = DocumentQuestions.Tree(text, asked);
            GenerationStatistics statistics = await Terminal.WithGenerationProgressAsync("Answering", progress => Task.Run(() =>
            {
                using var output = new JsonLines();
                var ordered = new OrderedResults(result => output.Write(json =>
                {
                    json.WriteString("question", asked[result.InputIndex]);
                    json.WriteString("answer", result.Text!.Trim());
                }));
                return languageModel.Engine.GenerateTree([tree], options with { Progress = progress }, null, ordered.Add, null, cancellationToken);
            }, CancellationToken.None));
            if (parsed.GetValue(stats)) StatisticsTable.Write(statistics);
        });
        return command;
    }
}
