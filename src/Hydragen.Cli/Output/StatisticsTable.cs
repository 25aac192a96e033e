using System.Globalization;
using Hydragen.Core;
using Hydragen.Engine;
using Hydragen.Models;
using Spectre.Console;

namespace Hydragen.Cli.Output;

/// <summary>What a generation call did, for people.</summary>
internal static class StatisticsTable
{
    public static void Write(Terminal terminal, GenerationStatistics statistics, DecoderModel model)
    {
        Table table = new Table().HideHeaders().Border(TableBorder.Rounded).AddColumn("").AddColumn("");
        void Row(string name, string value) => table.AddRow(Markup.Escape(name), Markup.Escape(value));
        Row("completions", Count(statistics.Completions));
        Row("prompt tokens, as the sequences see them", Count(statistics.PromptTokens));
        Row("prompt tokens computed", Count(statistics.ComputedPromptTokens));
        Row("shared tokens", $"{Count(statistics.SharedTokens)} at {statistics.SharingLevels} level{(statistics.SharingLevels == 1 ? "" : "s")}");
        if (statistics.Nodes != default)
            Row("shared nodes", $"{Count(statistics.Nodes.NumShared)} read once for all their sequences, {Count(statistics.Nodes.NumFolded)} with each of them");
        Row("sharing", statistics.SharingReason);
        Row("new tokens", Count(statistics.NewTokens));
        Row("prefill", Seconds(statistics.PrefillTime));
        Row("decode", $"{Seconds(statistics.DecodeTime)} in {statistics.DecodeSteps} steps, at most {statistics.PeakBatchSize} sequences");
        Row("decode speed", $"{Count((long)statistics.DecodeTokensPerSecond)} tokens/s");
        Row("KV memory", Mebibytes(statistics.PeakKvBytes));
        if (statistics.Calibration is { } found)
            Row("scales of FP8", string.Create(CultureInfo.InvariantCulture, $"{found.NumScaled} of {found.NumHeads} heads above 1, the largest {found.LargestScale:0}, from {found.NumTokens} tokens"));
        Row("weights", $"{Mebibytes(model.WeightBytes)}{WeightType(model)}");
        terminal.Console.Write(table);
    }

    /// <summary>What to add to a description of the model: nothing when the weights are kept as it stores them.</summary>
    public static string WeightType(DecoderModel model) => model.WeightType == Core.WeightType.Model ? "" : $", {model.WeightType.Name()} weights";

    public static string Count(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    public static string Seconds(TimeSpan time) => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.000} s");

    public static string Mebibytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1048576.0:N1} MiB");
}
