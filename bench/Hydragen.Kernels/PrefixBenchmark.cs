using Hydragen.Cli.Bench;
using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Kernels;

/// <summary>Attention of many rows over one shared prefix, against the peak of BF16 products.</summary>
internal static class PrefixBenchmark
{
    private const int HeadDim = 128, Group = 4;

    private static readonly AttentionShape Shape = new(Group, 1, HeadDim);

    public static void Run(Settings settings, Report report)
    {
        IReadOnlyList<int> rowCounts = settings.Rows ?? [64, 256, 1024];
        if (rowCounts.FirstOrDefault(rows => rows % Group != 0) is not 0 and int odd)
            throw new ArgumentException($"--rows takes multiples of {Group}, the query heads of the key/value head, not {odd}.");
        foreach (int numThreads in settings.Threads)
        {
            using var backend = new CpuBackend(new CpuOptions { InstructionSet = settings.InstructionSet, NumThreads = numThreads });
            var probe = new MachineProbe(numThreads, PairProbe.For(settings.InstructionSet));
            var points = new List<(int Rows, int Keys, Samples Samples)>();
            foreach (int keys in settings.Keys)
            {
                KvCache cache = backend.CreateKvCache(new KvCacheShape(1, 1, HeadDim, ElementType.BFloat16), (keys + KvCache.PageSize - 1) / KvCache.PageSize);
                float[] numbers = RandomData.Numbers(2 * keys * HeadDim);
                RandomData.Fill(cache, 0, numbers[..(keys * HeadDim)], numbers[(keys * HeadDim)..]);
                foreach (int rows in rowCounts) points.Add((rows, keys, new Samples(probe, Prepare(backend, cache, rows / Group, keys))));
            }
            foreach ((_, _, Samples samples) in points) samples.WarmUp();
            for (int round = 0; round < settings.Rounds; round++)
            {
                foreach ((_, _, Samples samples) in points) samples.Take();
            }

            Report.Begin(
                $"{backend.Description}; peak: {probe.BFloat16Unit} on registers, right before and after each sample; {settings.Rounds} rounds; {Group}/1 heads of {HeadDim}, bf16",
                "rows × keys", "ms (min–max)", "GFLOP/s (min–max)", "peak GFLOP/s", "of peak (min–max)", "quiet rounds", "of peak in these");
            foreach ((int rows, int keys, Samples samples) in points)
            {
                double flop = 4.0 * rows * keys * HeadDim;
                Spread rate = Spread.Of(samples.Seconds.Select(seconds => flop / seconds / 1e9));
                double[] shares = [.. samples.Seconds.Zip(samples.Peaks, (seconds, peak) => flop / seconds / 1e9 / peak)];
                double[] quiet = [.. shares.Where((_, i) => samples.States[i].IsQuiet)];
                Report.WriteRow(
                    $"{rows} × {keys}", Report.Text(Scale(samples.Seconds, 1e3), "0.000"), Report.Text(rate, "0"), $"{Spread.Of(samples.Peaks).Median:0}",
                    Report.Text(Spread.Of(shares), "0 %"), $"{samples.NumQuiet} of {settings.Rounds}", quiet.Length == 0 ? "" : $"{Spread.Of(quiet).Median:0 %}");
                report.Write("prefix", json =>
                {
                    Report.WriteBackend(json, backend, numThreads);
                    json.WriteNumber("rows", rows);
                    json.WriteNumber("keys", keys);
                    json.WriteNumber("head_dim", HeadDim);
                    json.WriteNumber("group", Group);
                    json.WriteString("peak_unit", probe.BFloat16Unit);
                    json.WriteSpread("ms", Scale(samples.Seconds, 1e3));
                    json.WriteNumbers("samples_ms", samples.Seconds.Select(seconds => seconds * 1e3));
                    json.WriteSpread("gflops", rate);
                    json.WriteNumbers("peak_gflops", samples.Peaks);
                    json.WriteSpread("share_of_peak", Spread.Of(shares));
                    if (quiet.Length > 0) json.WriteSpread("share_of_peak_quiet", Spread.Of(quiet));
                    json.WriteNumber("quiet_rounds", samples.NumQuiet);
                    json.WriteNumbers("machine_shares", samples.States.Select(state => state.Share));
                });
            }
        }
    }

    /// <summary>A step of attention of some tokens over the same keys.</summary>
    private static Action Prepare(CpuBackend backend, KvCache cache, int numTokens, int numKeys)
    {
        var builder = new AttentionPlanBuilder();
        for (int token = 0; token < numTokens; token++) builder.AddRows(numKeys, 1);
        builder.AddSegment(0, numTokens, [.. Enumerable.Range(0, cache.NumPages)], 0, numKeys, 0, AttentionMask.Full);
        AttentionPlan plan = builder.Build();
        DeviceBuffer query = RandomData.Upload(backend, ElementType.BFloat16, numTokens * Group * HeadDim), output = backend.Allocate(ElementType.BFloat16, query.Length);
        return () => backend.Attention(plan, Shape, AttentionOptions.Default, query, cache, 0, output, null);
    }

    private static Spread Scale(IEnumerable<double> values, double factor) => Spread.Of(values.Select(value => value * factor));
}
