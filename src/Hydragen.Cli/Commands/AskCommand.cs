using System.CommandLine;
using Hydragen.Cli.Demo;
using Hydragen.Cli.Input;
using Hydragen.Cli.Output;
using Hydragen.Engine;

namespace Hydragen.Cli.Commands;

/// <summary>Answers questions about one document; one JSON line an answer, in the order of the questions.</summary>
internal static class AskCommand
{
    private const int DefaultMaxNewTokens = 64;

    private const string Details = """
        Output: one JSON line a question, in the order of the questions:
          {"question":"..","answer":".."}
          An answer ends with its line. The embedded model knows only the kind of documents that
          'hydragen demo' writes; give a model of your own for other texts.

        Example:
          hydragen ask --document report.txt --questions questions.txt --model DIR
        """;

    public static Command Create(Terminal terminal)
    {
        var command = new Verb("ask", "Answer many questions about one document, which is computed once.", Details);
        var document = new Option<string>("--document") { Description = "Text file with the document.", Required = true };
        var questions = new Option<string>("--questions") { Description = "Text file with one question a line.", Required = true };
        var maxNewTokens = SamplingArguments.MakeMaxNewTokens(DefaultMaxNewTokens);
        var stats = new Option<bool>("--stats") { Description = "Print statistics to standard error." };
        Option<string> sharing = SamplingArguments.MakeSharing();
        command.Options.Add(document);
        command.Options.Add(questions);
        command.Options.Add(maxNewTokens);
        command.Options.Add(sharing);
        command.Options.Add(stats);
        var model = new ModelArguments(command, isRequired: false);
        command.Handle(terminal, async (parsed, cancellationToken) =>
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
            await using LanguageModel languageModel = await model.LoadAsync(parsed, terminal, cancellationToken);
            if (languageModel.Tokenizer is null) throw new InputException("The model has no tokenizer.json, which text needs.");
            PromptNode tree = DocumentQuestions.Tree(text, asked);
            GenerationStatistics statistics = await terminal.WithGenerationProgressAsync("Answering", printsMeanwhile: true, progress => Task.Run(() =>
            {
                var output = new JsonLines(terminal.Output);
                var ordered = new OrderedResults(result => output.Write(json =>
                {
                    json.WriteString("question", asked[result.InputIndex]);
                    json.WriteString("answer", result.Text!.Trim());
                }));
                return languageModel.Engine.GenerateTree([tree], options with { Progress = progress }, null, ordered.Add, null, cancellationToken);
            }, CancellationToken.None));
            if (parsed.GetValue(stats)) StatisticsTable.Write(terminal, statistics, languageModel.Engine.Model);
        });
        return command;
    }
}
