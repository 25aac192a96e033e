using System.Globalization;
using System.Text.Json;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Spectre.Console;

namespace Hydragen.Cli.Bench;

/// <summary>The results of a sweep, for people, programs and the eye.</summary>
internal sealed class SweepReport(GenerationContext context, bool isPaper, IReadOnlyList<SweepRow> rows)
{
    public void WriteTable(Terminal terminal)
    {
        BenchUnits units = context.Units;
        bool hasOwn = rows.Any(row => row.Cell.Suffix > 0), hasState = rows.Any(row => row.State is not null);
        bool hasBusy = rows.Any(row => row.BusyShares.Count > 0);
        string[] titles =
        [
            "PP", .. Optional(hasOwn, "own"), "TG", "B", "mode", "N_KV", "KV MiB", "T_PP s", "S_PP t/s", "PP of peak", "T_TG s", "S_TG t/s (min–max)",
            "of ceiling", units.Arithmetic, "of peak", units.Reads, "of reads", "hydragen × (min–max)", .. Optional(hasBusy, "GPU busy"), .. Optional(hasState, "machine"),
        ];
        Table table = BenchTable.Create(terminal, titles);
        foreach (SweepRow row in rows) table.AddRow([.. Cells(row, hasOwn, hasBusy, hasState).Select(Markup.Escape)]);
        BenchTable.Write(terminal, table);
        terminal.Note($"PP: tokens of the shared prompt; {(hasOwn ? "own: prompt tokens of each sequence behind it; " : "")}TG: new tokens of each of B sequences; N_KV: tokens in KV memory; T: median time; S: tokens a second.");
        if (hasBusy) terminal.Note("GPU busy: share of the time of decoding, from the start of the first step to the end of the last, in which a step was running, by the device's clock.");
        if (context.NumRanks > 1) terminal.Note($"KV MiB are those of each of {context.NumRanks} ranks; everything else is of all of them together.");
        if (isPaper) terminal.Note("T_TG: a call for all new tokens less a call for one. T_PP: the shared prompt alone.");
        foreach (SweepRow row in rows.Where(row => row.Skipped is not null))
            terminal.Note($"PP {row.Cell.Prefix}, own {row.Cell.Suffix}, TG {row.Cell.NewTokens}, B {row.Cell.Batch}, {row.Mode.Name()}: does not fit; {row.Skipped}");
        BenchTable.NoteNoise(terminal, rows.Where(row => row.State is not null).DistinctBy(row => row.Cell).Select(row => row.State!.Value));
    }

    /// <summary>Decode speed.</summary>
    public LineChart Chart()
    {
        static int[] Point(GenerationCell cell) => [cell.Prefix, cell.Batch, cell.NewTokens, cell.Suffix];
        var sweep = new Sweep(["prefix", "batch", "new tokens", "suffix"], rows.Select(row => Point(row.Cell)));
        var chart = new LineChart(
            "Decoding behind a shared prompt", string.Join(", ", ((string[])[context.Title, sweep.Constants]).Where(part => part.Length > 0)),
            sweep.AxisName, "tokens a second, all sequences");
        foreach (SweepRow row in rows.Where(row => row.Skipped is null))
        {
            int[] point = Point(row.Cell);
            chart.Add(sweep.LineName(point, row.Mode.Name()), point[sweep.Axis], row.DecodeSpeed.Median);
        }
        return chart;
    }

    public void Write(Utf8JsonWriter json, SweepRow row)
    {
        json.WriteString("type", "generate");
        json.WriteString("protocol", isPaper ? GenerationProtocols.Paper : GenerationProtocols.Custom);
        context.WriteModel(json);
        json.WriteNumber("batch", row.Cell.Batch);
        json.WriteNumber("prefix", row.Cell.Prefix);
        json.WriteNumber("suffix", row.Cell.Suffix);
        json.WriteNumber("new_tokens", row.Cell.NewTokens);
        json.WriteString("mode", row.Mode.Name());
        if (row.Skipped is not null)
        {
            json.WriteString("skipped", row.Skipped);
            return;
        }
        json.WriteNumber("kv_tokens", row.Cell.NumKvTokens(row.Mode));
        json.WriteNumber("kv_bytes", row.KvBytes);
        json.WriteNumber("prefill_tokens", row.PrefillTokens);
        json.WriteNumbers("prefill_seconds", row.PrefillTimes);
        json.WriteNumbers("decode_seconds", row.DecodeTimes);
        if (row.AllTokensTimes.Count > 0)
        {
            json.WriteNumbers("all_tokens_seconds", row.AllTokensTimes);
            json.WriteNumbers("one_token_seconds", row.OneTokenTimes);
        }
        if (row.BusyShares.Count > 0) json.WriteNumbers("gpu_busy_share", row.BusyShares);
        json.WriteSpread("prefill_tokens_per_second", row.PrefillSpeed);
        json.WriteSpread("decode_tokens_per_second", row.DecodeSpeed);
        json.WriteNumber("prefill_gflops", PrefillGflops(row));
        json.WriteNumber("decode_gflops", DecodeGflops(row));
        json.WriteNumber("decode_gbps", DecodeGigabytes(row));
        if (context.Ceilings is Ceilings processor) json.WriteNumber("share_of_fma", DecodeGflops(row) / processor.FmaGflops);
        if (context.Peak is { } peak)
        {
            json.WriteNumber("share_of_peak", DecodeGflops(row) / peak);
            json.WriteNumber("prefill_share_of_peak", PrefillGflops(row) / peak);
        }
        json.WriteNumber("share_of_reads", DecodeGigabytes(row) / context.Ceilings.BestReadGigabytes);
        if (row.Mode != SharingMode.NoAttention && row.SpeedRelativeTo(Row(row.Cell, SharingMode.NoAttention)) is { } share)
            json.WriteSpread("share_of_no_attention", share);
        if (row.Mode != SharingMode.Hydragen && Row(row.Cell, SharingMode.Hydragen)?.SpeedRelativeTo(row) is { } gain)
            json.WriteSpread("hydragen_speed_relative_to_this", gain);
        if (row.State is { } state) json.WriteState(state);
    }

    /// <summary>What <see cref="Write"/> wrote.</summary>
    public static SweepRow Read(JsonElement line)
    {
        var cell = new GenerationCell(
            line.GetProperty("batch").GetInt32(), line.GetProperty("prefix").GetInt32(), line.GetProperty("suffix").GetInt32(), line.GetProperty("new_tokens").GetInt32());
        SharingMode mode = BenchJson.ParseSharingMode(line.GetProperty("mode").GetString()!);
        if (line.TryGetProperty("skipped", out JsonElement skipped)) return new SweepRow(cell, mode, 0, [], [], 0, null, skipped.GetString());
        MachineState? state = line.TryGetProperty("machine_state", out JsonElement machine) ? machine.ReadState() : null;
        var row = new SweepRow(
            cell, mode, line.GetProperty("prefill_tokens").GetInt64(), line.ReadNumbers("prefill_seconds"), line.ReadNumbers("decode_seconds"),
            line.GetProperty("kv_bytes").GetInt64(), state, null)
        {
            BusyShares = line.TryGetProperty("gpu_busy_share", out _) ? line.ReadNumbers("gpu_busy_share") : [],
        };
        if (!line.TryGetProperty("all_tokens_seconds", out _)) return row;
        return row with { AllTokensTimes = line.ReadNumbers("all_tokens_seconds"), OneTokenTimes = line.ReadNumbers("one_token_seconds") };
    }

    private static string[] Optional(bool isWanted, string cell) => isWanted ? [cell] : [];

    private List<string> Cells(SweepRow row, bool hasOwn, bool hasBusy, bool hasState)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        List<string> cells =
        [
            row.Cell.Prefix.ToString(culture), .. Optional(hasOwn, row.Cell.Suffix.ToString(culture)), row.Cell.NewTokens.ToString(culture),
            row.Cell.Batch.ToString(culture), row.Mode.Name(), row.Cell.NumKvTokens(row.Mode).ToString(culture),
        ];
        if (row.Skipped is not null) return [.. cells, "does not fit", .. Enumerable.Repeat("", 11), .. Optional(hasBusy, ""), .. Optional(hasState, "")];
        Spread? gain = row.Mode is SharingMode.Hydragen or SharingMode.NoAttention ? null : Row(row.Cell, SharingMode.Hydragen)?.SpeedRelativeTo(row);
        Spread? ofCeiling = row.Mode == SharingMode.NoAttention ? null : row.SpeedRelativeTo(Row(row.Cell, SharingMode.NoAttention));
        BenchUnits units = context.Units;
        return
        [
            .. cells,
            (row.KvBytes / 1048576.0).ToString("0.0", culture),
            row.PrefillSeconds.Median.ToString("0.000", culture), row.PrefillSpeed.Median.ToString("0.0", culture), Share(PrefillGflops(row) / context.Peak),
            row.DecodeSeconds.Median.ToString("0.000", culture), BenchTable.Text(row.DecodeSpeed, "0.0"), Share(ofCeiling?.Median),
            (DecodeGflops(row) / units.RateScale).ToString(units.RateFormat, culture), Share(DecodeGflops(row) / context.Peak),
            (DecodeGigabytes(row) / units.RateScale).ToString(units.RateFormat, culture), Share(DecodeGigabytes(row) / context.Ceilings.BestReadGigabytes),
            gain is { } spread ? BenchTable.Text(spread, "0.00") : "",
            .. Optional(hasBusy, row.BusyShares.Count > 0 ? Spread.Of(row.BusyShares).Median.ToString("0.0 %", culture) : ""),
            .. Optional(hasState, row.State is { } state ? string.Create(culture, $"{(state.IsQuiet ? "quiet" : "noisy")} {state.Share:0 %}") : ""),
        ];
    }

    private static string Share(double? share) => share?.ToString("0 %", CultureInfo.InvariantCulture) ?? "";

    private SweepRow? Row(GenerationCell cell, SharingMode mode) => rows.FirstOrDefault(row => row.Cell == cell && row.Mode == mode);

    private double DecodeGflops(SweepRow row) => context.Work.DecodeFlops(row.Cell, row.Mode) / row.DecodeSeconds.Median / 1e9;

    private double DecodeGigabytes(SweepRow row) => context.Work.DecodeBytes(row.Cell, row.Mode, row.Cell.OwnsPrompt && !isPaper) / row.DecodeSeconds.Median / 1e9;

    /// <summary>The shared prompt, and what else was computed, shared out evenly among the sequences.</summary>
    private double PrefillGflops(SweepRow row)
    {
        double own = (double)(row.PrefillTokens - row.Cell.Prefix) / row.Cell.Batch;
        // The paper's definition times the shared prompt apart from the modes, with attention.
        SharingMode mode = isPaper ? SharingMode.Hydragen : row.Mode;
        double flops = context.Work.PrefillFlops(0, row.Cell.Prefix, mode) + row.Cell.Batch * context.Work.PrefillFlops(row.Cell.Prefix, own, mode);
        return flops / row.PrefillSeconds.Median / 1e9;
    }
}
