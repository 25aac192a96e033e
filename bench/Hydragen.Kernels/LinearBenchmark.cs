using Hydragen.Cli.Bench;
using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Kernels;

/// <summary>The matrix product of a layer, against the peak of BF16 products and against reading the weights.</summary>
internal static class LinearBenchmark
{
    private const int Size = 4096;
    private const long MatrixBytes = (long)Size * Size * sizeof(ushort);

    public static void Run(Settings settings, Report report)
    {
        IReadOnlyList<int> rowCounts = settings.Rows ?? [1, 8, 64, 256];
        // Calls take matrices in turn, so that each finds its weights in memory, as in a forward pass.
        int numMatrices = settings.IsWarm ? 1 : Report.CountSets(MatrixBytes);
        foreach (int numThreads in settings.Threads)
        {
            using var backend = new CpuBackend(new CpuOptions { InstructionSet = settings.InstructionSet, NumThreads = numThreads });
            var probe = new MachineProbe(numThreads, PairProbe.For(settings.InstructionSet));
            var memory = new MemoryProbe(new ThreadTeam(numThreads), MatrixBytes, numMatrices);
            PackedMatrix[] matrices = [.. Enumerable.Range(1, numMatrices).Select(seed => backend.PackMatrix(new RandomMatrix(Size, Size, seed)))];
            (int Rows, Samples Samples)[] points = [.. rowCounts.Select(rows => (rows, new Samples(probe, Prepare(backend, matrices, rows))))];
            foreach ((_, Samples samples) in points) samples.WarmUp();
            memory.Read();
            memory.ReadStreams();
            var reads = new List<double>();
            for (int round = 0; round < settings.Rounds; round++)
            {
                reads.Add(Math.Max(memory.Read().Rate, memory.ReadStreams().Rate));
                foreach ((_, Samples samples) in points) samples.Take();
            }

            Report.Begin(
                $"{backend.Description}; {Size} × {Size}, bf16 weights, inputs and outputs, {numMatrices} matrices in turn; peak: {probe.BFloat16Unit} on registers; reads of as much memory: {Report.Text(Spread.Of(reads), "0.0")} GB/s; {settings.Rounds} rounds",
                "rows", "ms (min–max)", "GFLOP/s (min–max)", "of peak (min–max)", "weights GB/s", "of reads (min–max)", "quiet rounds");
            foreach ((int rows, Samples samples) in points)
            {
                double flop = 2.0 * rows * Size * Size;
                Spread rate = Spread.Of(samples.Seconds.Select(seconds => flop / seconds / 1e9));
                Spread ofPeak = Spread.Of(samples.Seconds.Zip(samples.Peaks, (seconds, peak) => flop / seconds / 1e9 / peak));
                double[] gigabytes = [.. samples.Seconds.Select(seconds => MatrixBytes / seconds / 1e9)];
                Spread ofReads = Spread.OfRatios(gigabytes, reads), ms = Spread.Of(samples.Seconds.Select(seconds => seconds * 1e3));
                Report.WriteRow(
                    $"{rows}", Report.Text(ms, "0.000"), Report.Text(rate, "0"), Report.Text(ofPeak, "0 %"), $"{Spread.Of(gigabytes).Median:0.0}",
                    Report.Text(ofReads, "0 %"), $"{samples.NumQuiet} of {settings.Rounds}");
                report.Write("linear", json =>
                {
                    Report.WriteBackend(json, backend, numThreads);
                    json.WriteNumber("rows", rows);
                    json.WriteNumber("input_size", Size);
                    json.WriteNumber("output_size", Size);
                    json.WriteNumber("data_sets", numMatrices);
                    json.WriteString("peak_unit", probe.BFloat16Unit);
                    json.WriteSpread("ms", ms);
                    json.WriteNumbers("samples_ms", samples.Seconds.Select(seconds => seconds * 1e3));
                    json.WriteSpread("gflops", rate);
                    json.WriteNumbers("peak_gflops", samples.Peaks);
                    json.WriteSpread("share_of_peak", ofPeak);
                    json.WriteSpread("gbps", Spread.Of(gigabytes));
                    json.WriteSpread("read_gbps", Spread.Of(reads));
                    json.WriteSpread("share_of_read", ofReads);
                    json.WriteNumber("quiet_rounds", samples.NumQuiet);
                    json.WriteNumbers("machine_shares", samples.States.Select(state => state.Share));
                });
            }
            foreach (PackedMatrix matrix in matrices) matrix.Dispose();
        }
    }

    private static Action Prepare(CpuBackend backend, PackedMatrix[] matrices, int rows)
    {
        DeviceBuffer input = RandomData.Upload(backend, ElementType.BFloat16, rows * Size);
        DeviceBuffer output = backend.Allocate(ElementType.BFloat16, (long)rows * Size);
        int next = 0;
        return () =>
        {
            backend.Linear(input, rows, matrices[next], output);
            next = (next + 1) % matrices.Length;
        };
    }
}
