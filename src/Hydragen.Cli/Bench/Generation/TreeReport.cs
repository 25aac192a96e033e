using System.Globalization;
using System.Text.Json;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Spectre.Console;

namespace Hydragen.Cli.Bench;

/// <summary>The results of the tree protocol, for people, programs and the eye.</summary>
/// <param name="context">What measured.</param>
/// <param name="plan">What was asked for.</param>
/// <param name="headerTimes">Seconds to compute the header; empty when no row is new.</param>
/// <param name="equalBatch">Problems of a call at the equal batch.</param>
/// <param name="rows">The rows.</param>
internal sealed class TreeReport(GenerationContext context, TreePlan plan, IReadOnlyList<double> headerTimes, int equalBatch, IReadOnlyList<TreeRow> rows)
{
    public void WriteTable(Terminal terminal)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        BenchUnits units = context.Units;
        Table table = BenchTable.Create(terminal,
        [
            "problems a call", "mode", "sequences at once", "KV MiB", "time s (min–max)", "s/problem", "T_PP s", "T_TG s", "S_TG t/s", units.Arithmetic, "of peak",
            "less than one-level",
        ]);
        foreach (TreeRow row in rows)
        {
            string[] cells = [row.AtOnce == plan.NumProblems ? $"{row.AtOnce} (all)" : row.AtOnce.ToString(culture), row.Mode];
            if (row.Skipped is not null)
            {
                table.AddRow([.. cells, "does not fit", .. Enumerable.Repeat("", 9)]);
                continue;
            }
            table.AddRow([.. ((string[])[
                .. cells, row.LargestBatch.ToString(culture), (row.KvBytes / 1048576.0).ToString("0.0", culture), BenchTable.Text(row.Seconds, "0.000"),
                (row.Seconds.Median / plan.NumProblems).ToString("0.000", culture), row.PrefillSeconds.Median.ToString("0.000", culture),
                row.DecodeSeconds.Median.ToString("0.000", culture), DecodeSpeed(row).ToString("0.0", culture),
                (DecodeGflops(row) / units.RateScale).ToString(units.RateFormat, culture), (DecodeGflops(row) / context.Peak)?.ToString("0 %", culture) ?? "",
                LessThanOneLevel(row)?.ToString("0 %", culture) ?? "",
            ]).Select(Markup.Escape)]);
        }
        BenchTable.Write(terminal, table);
        terminal.Note(
            $"{plan.NumProblems} problems of {plan.ProblemTokens} tokens, {plan.NumSamples} samples of {plan.NewTokens} new tokens each, behind {plan.HeaderTokens} tokens that all share.");
        terminal.Note($"time: problems (T_PP, copies included) and new tokens (T_TG) of all calls. less than one-level: how much less time than {TreePlan.OneLevel} with {equalBatch} problems a call.");
        if (headerTimes.Count > 0)
        {
            double headerSeconds = Spread.Of(headerTimes).Median, rate = context.Work.PrefillFlops(0, plan.HeaderTokens, SharingMode.Hydragen) / headerSeconds / 1e9;
            string ofPeak = context.Peak is { } peak ? string.Create(culture, $", {rate / peak:0 %} of the peak of products") : "";
            terminal.Note(string.Create(culture, $"The header is computed once, before: {headerSeconds:0.000} s ({plan.HeaderTokens / headerSeconds:0} tokens/s{ofPeak})."));
        }
        foreach (TreeRow row in rows.Where(row => row.Skipped is not null)) terminal.Note($"{row.AtOnce} problems a call, {row.Mode}: does not fit; {row.Skipped}");
        BenchTable.NoteNoise(terminal, rows.Where(row => row.State is not null).DistinctBy(row => row.AtOnce).Select(row => row.State!.Value));
    }

    /// <summary>Time a problem by sequences at once.</summary>
    public LineChart Chart()
    {
        var chart = new LineChart(
            "Samples of problems behind one header", $"{context.Title}, {plan.HeaderTokens} + {plan.ProblemTokens} + {plan.NewTokens} tokens, {plan.NumSamples} samples",
            "sequences at once", "seconds a problem");
        foreach (TreeRow row in rows.Where(row => row.Skipped is null).OrderBy(row => row.LargestBatch))
            chart.Add(row.Mode, row.LargestBatch, row.Seconds.Median / plan.NumProblems);
        return chart;
    }

    public void Write(Utf8JsonWriter json, TreeRow row)
    {
        json.WriteString("type", "tree");
        context.WriteModel(json);
        json.WriteNumber("problems", plan.NumProblems);
        json.WriteNumber("problems_a_call", row.AtOnce);
        json.WriteNumber("samples", plan.NumSamples);
        json.WriteNumber("header_tokens", plan.HeaderTokens);
        json.WriteNumber("problem_tokens", plan.ProblemTokens);
        json.WriteNumber("new_tokens", plan.NewTokens);
        json.WriteString("mode", row.Mode);
        if (row.Skipped is not null)
        {
            json.WriteString("skipped", row.Skipped);
            return;
        }
        json.WriteNumber("largest_batch", row.LargestBatch);
        json.WriteNumber("kv_bytes", row.KvBytes);
        CallTimes.Write(json, row.Rounds);
        json.WriteSpread("time", row.Seconds);
        json.WriteNumbers("header_seconds", headerTimes);
        json.WriteNumber("decode_tokens_per_second", DecodeSpeed(row));
        json.WriteNumber("decode_gflops", DecodeGflops(row));
        if (context.Peak is { } peak) json.WriteNumber("share_of_peak", DecodeGflops(row) / peak);
        if (LessThanOneLevel(row) is { } less) json.WriteNumber("less_time_than_one_level", less);
        if (row.State is { } state) json.WriteState(state);
    }

    /// <summary>What <see cref="Write"/> wrote.</summary>
    public static TreeRow Read(JsonElement line)
    {
        (int atOnce, string mode) = (line.GetProperty("problems_a_call").GetInt32(), line.GetProperty("mode").GetString()!);
        if (line.TryGetProperty("skipped", out JsonElement skipped)) return new TreeRow(atOnce, mode, [], 0, 0, null, skipped.GetString());
        MachineState? state = line.TryGetProperty("machine_state", out JsonElement machine) ? machine.ReadState() : null;
        return new TreeRow(
            atOnce, mode, CallTimes.Read(line), line.GetProperty("kv_bytes").GetInt64(), line.GetProperty("largest_batch").GetInt32(), state, null);
    }

    private double DecodeSpeed(TreeRow row) => (double)plan.NumProblems * plan.NumSamples * (plan.NewTokens - 1) / row.DecodeSeconds.Median;

    private double DecodeGflops(TreeRow row)
    {
        var cell = new GenerationCell(plan.NumProblems * plan.NumSamples, plan.HeaderTokens + plan.ProblemTokens, Suffix: 0, plan.NewTokens);
        SharingMode mode = row.Mode == SharingMode.NoAttention.Name() ? SharingMode.NoAttention : SharingMode.Hydragen;
        return context.Work.DecodeFlops(cell, mode) / row.DecodeSeconds.Median / 1e9;
    }

    private double? LessThanOneLevel(TreeRow row) =>
        rows.FirstOrDefault(other => other.AtOnce == equalBatch && other.Mode == TreePlan.OneLevel && other.Skipped is null) is { } other
            ? 1 - row.Seconds.Median / other.Seconds.Median : null;
}
