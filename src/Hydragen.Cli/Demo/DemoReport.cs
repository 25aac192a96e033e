using System.Globalization;
using System.Text.Json;
using Hydragen.Cli.Output;
using Spectre.Console;

namespace Hydragen.Cli.Demo;

/// <summary>The comparison that the demo shows.</summary>
internal sealed record DemoReport(int Seed, SyntheticDocument Document, DemoRun Shared, DemoRun Copied)
{
    private const int NumExamples = 4;

    private double SpeedUp => Shared.Statistics.DecodeTokensPerSecond / Math.Max(1e-9, Copied.Statistics.DecodeTokensPerSecond);

    private int NumEqualAnswers => Shared.Answers.Zip(Copied.Answers).Count(pair => pair.First == pair.Second);

    public void WriteTable(Terminal terminal)
    {
        Table table = new Table().Border(TableBorder.Rounded)
            .AddColumn("").AddColumn(new TableColumn("with sharing").RightAligned()).AddColumn(new TableColumn("without sharing").RightAligned());
        void Row(string name, Func<DemoRun, string> cell) => table.AddRow(name, Markup.Escape(cell(Shared)), Markup.Escape(cell(Copied)));
        Row("answers correct", run => $"{NumCorrect(run)} of {run.Answers.Count}");
        Row("prefill and copies", run => StatisticsTable.Seconds(run.Statistics.PrefillTime));
        Row("decode", run => StatisticsTable.Seconds(run.Statistics.DecodeTime));
        Row("decode speed", run => $"{StatisticsTable.Count((long)run.Statistics.DecodeTokensPerSecond)} tokens/s");
        Row("KV memory", run => StatisticsTable.Mebibytes(run.Statistics.PeakKvBytes));
        Row("largest batch", run => $"{run.Statistics.PeakBatchSize} sequences");
        terminal.Console.Write(table);
        terminal.Note(string.Create(CultureInfo.InvariantCulture, $"Decoding is {SpeedUp:0.0} times as fast with sharing; {NumEqualAnswers} of {Shared.Answers.Count} answers are the same."));
        terminal.Note("");
        for (int i = 0; i < Math.Min(NumExamples, Document.Questions.Count); i++)
        {
            // Spread over the questions, so that every run shows several kinds.
            int index = i * Document.Questions.Count / NumExamples % Document.Questions.Count;
            terminal.Note($"  Q: {Document.Questions[index].Text}");
            terminal.Note($"  A: {Shared.Answers[index]}{(IsCorrect(Shared, index) ? "" : $"   (expected: {Document.Questions[index].ExpectedValue})")}");
        }
    }

    public void WriteJson(Terminal terminal)
    {
        var output = new JsonLines(terminal.Output);
        output.Write(json =>
        {
            json.WriteNumber("seed", Seed);
            json.WriteNumber("questions", Document.Questions.Count);
            WriteRun(json, "with_sharing", Shared);
            WriteRun(json, "without_sharing", Copied);
            json.WriteNumber("decode_speed_up", SpeedUp);
            json.WriteNumber("equal_answers", NumEqualAnswers);
        });
    }

    private void WriteRun(Utf8JsonWriter json, string name, DemoRun run)
    {
        json.WriteStartObject(name);
        json.WriteNumber("correct", NumCorrect(run));
        json.WriteNumber("prefill_seconds", run.Statistics.PrefillTime.TotalSeconds);
        json.WriteNumber("decode_seconds", run.Statistics.DecodeTime.TotalSeconds);
        json.WriteNumber("decode_tokens_per_second", run.Statistics.DecodeTokensPerSecond);
        json.WriteNumber("new_tokens", run.Statistics.NewTokens);
        json.WriteNumber("kv_bytes", run.Statistics.PeakKvBytes);
        json.WriteNumber("largest_batch", run.Statistics.PeakBatchSize);
        json.WriteEndObject();
    }

    private int NumCorrect(DemoRun run) => Enumerable.Range(0, run.Answers.Count).Count(i => IsCorrect(run, i));

    private bool IsCorrect(DemoRun run, int question) =>
        run.Answers[question].Contains(Document.Questions[question].ExpectedValue, StringComparison.Ordinal);
}
