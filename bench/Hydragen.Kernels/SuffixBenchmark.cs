using Hydragen.Cli.Bench;
using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Kernels;

/// <summary>Attention of single rows over keys of their own in memory, against reading as much memory and doing nothing with it.</summary>
internal static class SuffixBenchmark
{
    private const int HeadDim = 128, NumKvHeads = 2, NumSequences = 64, NumKeys = 4224;
    private const int PagesPerSequence = NumKeys / KvCache.PageSize;

    public static void Run(Settings settings, Report report)
    {
        using var widest = new CpuBackend(new CpuOptions { InstructionSet = settings.InstructionSet, NumThreads = settings.Threads.Max() });
        var shape = new KvCacheShape(1, NumKvHeads, HeadDim, ElementType.BFloat16);
        long bytes = (long)NumSequences * NumKeys * shape.BytesPerToken;
        // Calls take layers in turn, so that each finds its keys and values in memory.
        int numLayers = Report.CountSets(bytes);
        using KvCache cache = widest.CreateKvCache(shape with { NumLayers = numLayers }, NumSequences * PagesPerSequence);
        float[] numbers = RandomData.Numbers(2 * NumKeys * NumKvHeads * HeadDim);
        for (int i = 0; i < NumSequences; i++) RandomData.Fill(cache, i * PagesPerSequence, numbers[..(numbers.Length / 2)], numbers[(numbers.Length / 2)..]);

        foreach (int numThreads in settings.Threads)
        {
            using var backend = new CpuBackend(new CpuOptions { InstructionSet = settings.InstructionSet, NumThreads = numThreads });
            var probe = new MachineProbe(numThreads, PairProbe.For(settings.InstructionSet));
            var memory = new MemoryProbe(new ThreadTeam(numThreads), bytes, numLayers);
            (int Group, Samples Samples)[] points = [.. settings.Groups.Select(group => (group, new Samples(probe, Prepare(backend, cache, group))))];
            foreach ((_, Samples samples) in points) samples.WarmUp();
            memory.Read();
            memory.ReadStreams();
            var reads = new List<double>();
            var streams = new List<double>();
            for (int round = 0; round < settings.Rounds; round++)
            {
                reads.Add(memory.Read().Rate);
                streams.Add(memory.ReadStreams().Rate);
                foreach ((_, Samples samples) in points) samples.Take();
            }

            Spread one = Spread.Of(reads), four = Spread.Of(streams);
            Report.Begin(
                $"{backend.Description}; {NumSequences} sequences × {NumKeys} keys, {NumKvHeads} key/value heads of {HeadDim}, bf16, {bytes / 1e6:0} MB a call, {numLayers} data {(numLayers == 1 ? "set" : "sets in turn")}; {settings.Rounds} rounds; reads of as much memory: one stream a thread {Report.Text(one, "0.0")} GB/s, {ProbeKernels.NumStreams} streams {Report.Text(four, "0.0")} GB/s",
                "group", "ms (min–max)", "GB/s (min–max)", "of one stream (min–max)", "of four streams (min–max)", "quiet rounds");
            foreach ((int group, Samples samples) in points)
            {
                double[] rates = [.. samples.Seconds.Select(seconds => bytes / seconds / 1e9)];
                Spread ofOne = Spread.OfRatios(rates, reads), ofFour = Spread.OfRatios(rates, streams);
                Spread ms = Spread.Of(samples.Seconds.Select(seconds => seconds * 1e3));
                Report.WriteRow(
                    $"{group}", Report.Text(ms, "0.00"), Report.Text(Spread.Of(rates), "0.0"), Report.Text(ofOne, "0 %"), Report.Text(ofFour, "0 %"),
                    $"{samples.NumQuiet} of {settings.Rounds}");
                report.Write("suffix", json =>
                {
                    Report.WriteBackend(json, backend, numThreads);
                    json.WriteNumber("sequences", NumSequences);
                    json.WriteNumber("keys", NumKeys);
                    json.WriteNumber("kv_heads", NumKvHeads);
                    json.WriteNumber("head_dim", HeadDim);
                    json.WriteNumber("group", group);
                    json.WriteNumber("bytes", bytes);
                    json.WriteNumber("data_sets", numLayers);
                    json.WriteSpread("ms", ms);
                    json.WriteNumbers("samples_ms", samples.Seconds.Select(seconds => seconds * 1e3));
                    json.WriteSpread("gbps", Spread.Of(rates));
                    json.WriteSpread("read_gbps", one);
                    json.WriteSpread("read_streams_gbps", four);
                    json.WriteSpread("share_of_read", ofOne);
                    json.WriteSpread("share_of_read_streams", ofFour);
                    json.WriteNumber("quiet_rounds", samples.NumQuiet);
                    json.WriteNumbers("machine_shares", samples.States.Select(state => state.Share));
                });
            }
        }
    }

    /// <summary>A decode step, on the next layer each time.</summary>
    private static Action Prepare(CpuBackend backend, KvCache cache, int group)
    {
        var shape = new AttentionShape(NumKvHeads * group, NumKvHeads, HeadDim);
        var builder = new AttentionPlanBuilder();
        for (int i = 0; i < NumSequences; i++)
        {
            int row = builder.AddRows(NumKeys, 1);
            builder.AddSegment(row, 1, [.. Enumerable.Range(i * PagesPerSequence, PagesPerSequence)], 0, NumKeys, 0, AttentionMask.Full);
        }
        AttentionPlan plan = builder.Build();
        DeviceBuffer query = RandomData.Upload(backend, ElementType.BFloat16, NumSequences * shape.NumHeads * HeadDim);
        DeviceBuffer output = backend.Allocate(ElementType.BFloat16, query.Length);
        int layer = 0;
        return () =>
        {
            backend.Attention(plan, shape, AttentionOptions.Default, query, cache, layer, output, null);
            layer = (layer + 1) % cache.Shape.NumLayers;
        };
    }
}
