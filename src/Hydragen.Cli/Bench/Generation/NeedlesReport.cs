using System.Globalization;
using System.Text.Json;
using Hydragen.Cli.Demo;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Spectre.Console;

namespace Hydragen.Cli.Bench;

/// <summary>The results of the needles protocol, for people, programs and the eye.</summary>
/// <param name="context">What measured.</param>
/// <param name="plan">What was asked for.</param>
/// <param name="document">The document.</param>
/// <param name="documentTokens">Tokens of its text.</param>
/// <param name="documentTimes">Seconds that they took; empty when no row is new.</param>
/// <param name="prompts">Tokens of so many questions, and the operations of computing them in a mode.</param>
/// <param name="rows">The rows.</param>
internal sealed class NeedlesReport(
    GenerationContext context, NeedlesPlan plan, SyntheticDocument document, int documentTokens, IReadOnlyList<double> documentTimes,
    Func<int, SharingMode, (int Tokens, double Flops)> prompts, IReadOnlyList<NeedlesRow> rows)
{
    public void WriteTable(Terminal terminal)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        Table table = BenchTable.Create(terminal,
            ["questions", "mode", "at once", "KV MiB", "time s (min–max)", "questions/s", "T_PP s", "S_PP t/s", "PP of peak", "T_TG s", "S_TG t/s", "correct", "accuracy", "hydragen × (min–max)"]);
        foreach (NeedlesRow row in rows)
        {
            string[] cells = [row.NumQuestions.ToString(culture), row.Mode.Name()];
            if (row.Skipped is not null)
            {
                table.AddRow([.. cells, "does not fit", .. Enumerable.Repeat("", 11)]);
                continue;
            }
            Spread? gain = row.Mode is SharingMode.Hydragen or SharingMode.NoAttention ? null : Row(row.NumQuestions, SharingMode.Hydragen)?.TimeOf(row);
            table.AddRow([.. ((string[])[
                .. cells, row.LargestBatch.ToString(culture), (row.KvBytes / 1048576.0).ToString("0.0", culture), BenchTable.Text(row.Seconds, "0.000"),
                (row.NumQuestions / row.Seconds.Median).ToString("0.0", culture), row.PrefillSeconds.Median.ToString("0.000", culture),
                (prompts(row.NumQuestions, row.Mode).Tokens / row.PrefillSeconds.Median).ToString("0.0", culture),
                (PrefillGflops(row) / context.Peak)?.ToString("0 %", culture) ?? "",
                row.DecodeSeconds.Median.ToString("0.000", culture), DecodeSpeed(row)?.ToString("0.0", culture) ?? "", row.Correct.Sum().ToString(culture), row.Accuracy.ToString("0.0 %", culture),
                gain is { } spread ? BenchTable.Text(spread, "0.00") : "",
            ]).Select(Markup.Escape)]);
        }
        BenchTable.Write(terminal, table);
        if (documentTimes.Count > 0)
        {
            double seconds = Spread.Of(documentTimes).Median, rate = context.Work.PrefillFlops(0, documentTokens, SharingMode.Hydragen) / seconds / 1e9;
            string ofPeak = context.Peak is { } peak ? string.Create(culture, $", {rate / peak:0 %} of the peak of products") : "";
            terminal.Note(string.Create(culture, $"The document: {documentTokens} tokens, {document.NumFacts} facts; computed once, before, in {seconds:0.000} s ({documentTokens / seconds:0} tokens/s{ofPeak})."));
        }
        terminal.Note($"time: prompts of the questions (T_PP, copies of the document included) and new tokens (T_TG). {document.Questions.Count} different questions; more are repeated. Without attention, answers are meaningless.");
        foreach (NeedlesRow row in rows.Where(row => row.Skipped is not null))
            terminal.Note($"{row.NumQuestions} questions, {row.Mode.Name()}: does not fit; {row.Skipped}");
        BenchTable.NoteNoise(terminal, rows.Where(row => row.State is not null).DistinctBy(row => row.NumQuestions).Select(row => row.State!.Value));
    }

    /// <summary>Time by questions.</summary>
    public LineChart Chart()
    {
        var chart = new LineChart(
            "Questions about one document", $"{context.Title}, {documentTokens} tokens computed before", "questions", "seconds for all answers");
        foreach (NeedlesRow row in rows.Where(row => row.Skipped is null)) chart.Add(row.Mode.Name(), row.NumQuestions, row.Seconds.Median);
        return chart;
    }

    public void Write(Utf8JsonWriter json, NeedlesRow row)
    {
        json.WriteString("type", "needles");
        context.WriteModel(json);
        json.WriteNumber("questions", row.NumQuestions);
        json.WriteString("mode", row.Mode.Name());
        if (row.Skipped is not null)
        {
            json.WriteString("skipped", row.Skipped);
            return;
        }
        json.WriteNumber("document_tokens", documentTokens);
        json.WriteNumbers("document_seconds", documentTimes);
        json.WriteNumber("question_tokens", prompts(row.NumQuestions, row.Mode).Tokens);
        json.WriteNumber("new_tokens", plan.NewTokens);
        json.WriteNumber("largest_batch", row.LargestBatch);
        json.WriteNumber("kv_bytes", row.KvBytes);
        CallTimes.Write(json, row.Rounds);
        json.WriteSpread("time", row.Seconds);
        json.WriteNumber("prefill_tokens_per_second", prompts(row.NumQuestions, row.Mode).Tokens / row.PrefillSeconds.Median);
        json.WriteNumber("prefill_gflops", PrefillGflops(row));
        if (context.Peak is { } peak) json.WriteNumber("prefill_share_of_peak", PrefillGflops(row) / peak);
        if (DecodeSpeed(row) is { } speed) json.WriteNumber("decode_tokens_per_second", speed);
        json.WriteNumber("accuracy", row.Accuracy);
        json.WriteNumbers("correct_by_tenth", row.Correct);
        json.WriteNumbers("asked_by_tenth", row.Asked);
        if (row.Mode != SharingMode.Hydragen && Row(row.NumQuestions, SharingMode.Hydragen)?.TimeOf(row) is { } gain)
            json.WriteSpread("hydragen_speed_relative_to_this", gain);
        if (row.State is { } state) json.WriteState(state);
    }

    /// <summary>What <see cref="Write"/> wrote.</summary>
    public static NeedlesRow Read(JsonElement line)
    {
        static int[] Counts(JsonElement array) => [.. array.EnumerateArray().Select(value => value.GetInt32())];
        int numQuestions = line.GetProperty("questions").GetInt32();
        SharingMode mode = BenchJson.ParseSharingMode(line.GetProperty("mode").GetString()!);
        if (line.TryGetProperty("skipped", out JsonElement skipped)) return new NeedlesRow(numQuestions, mode, [], [], [], 0, 0, null, skipped.GetString());
        MachineState? state = line.TryGetProperty("machine_state", out JsonElement machine) ? machine.ReadState() : null;
        return new NeedlesRow(
            numQuestions, mode, CallTimes.Read(line), Counts(line.GetProperty("correct_by_tenth")), Counts(line.GetProperty("asked_by_tenth")),
            line.GetProperty("kv_bytes").GetInt64(), line.GetProperty("largest_batch").GetInt32(), state, null);
    }

    private double PrefillGflops(NeedlesRow row) => prompts(row.NumQuestions, row.Mode).Flops / row.PrefillSeconds.Median / 1e9;

    /// <summary>New tokens a second, the first of each answer excluded.</summary>
    private double? DecodeSpeed(NeedlesRow row) =>
        plan.NewTokens > 1 ? row.NumQuestions * (plan.NewTokens - 1.0) / row.DecodeSeconds.Median : null;

    private NeedlesRow? Row(int numQuestions, SharingMode mode) => rows.FirstOrDefault(row => row.NumQuestions == numQuestions && row.Mode == mode);
}
