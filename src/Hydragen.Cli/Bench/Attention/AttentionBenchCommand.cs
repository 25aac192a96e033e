using System.CommandLine;
using Hydragen.Cli.Commands;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Cli.Bench;

/// <summary>Measures one step of attention.</summary>
internal static class AttentionBenchCommand
{
    private const string Details = """
        Protocols: published is the micro-benchmark of arXiv 2402.05099 (figure 4: 8/1 heads of 128; batch × prefix
        512 × 1024, 1024 × 2048, 2048 × 4096, 4096 × 8192; suffix 0 to 512); micro is 64 sequences, 8/2 heads of 128,
        suffix 128, prefix 1024, 4096 and 16384; custom is what the options say. What does not fit into memory is
        listed, not run. Lists: 1,8,32 or 0..512..16 (first..last..step).
        Modes: hydragen reads the prefix once for all sequences; paged stores it once, and every sequence reads it;
        copied stores and reads a copy for each sequence. They run in turn (A B C A B C), their outputs are compared,
        and ratios are medians over rounds of times measured side by side.
        Data are standard normal numbers. Calls rotate through data sets twice as large as the last cache, as the
        layers of a model do, unless --warm is given.
        GFLOP/s: 4 · query rows · heads · head size · keys seen, a second. GB/s: keys and values that the mode must
        read, once in total for a shared prefix (hydragen), else once for each sequence; paged re-reads a prefix that
        may lie in a cache, so it can exceed the memory's speed. Shares are of ceilings measured at the start with
        all threads: products on registers (of BF16, in the unit that the kernels use, when the data are BF16; else FP32
        multiply-adds), and the faster of two ways of reading memory.
        Machine: what was left of it around a point: the rate of products fed by the first-level cache as a share of
        that on registers (tiles) or of the best of the run (other units), or the share of processor time that these
        got, whichever is less. Below 85 % the point counts as noisy. Ceilings are measured again at the end, and differences are reported.
        """;

    public static Command Create(Terminal terminal)
    {
        var command = new Verb("attention", "One step of attention, with sharing and without.", Details);
        var shapes = new AttentionArguments(command);
        var arguments = new BenchArguments(
            command, Values.Choice("--device", "Where to compute.", "cpu", "cpu"), defaultRepeats: 7, SharingMode.Hydragen, SharingMode.Paged, SharingMode.Copied);
        command.Handle(terminal, async (parsed, cancellationToken) =>
        {
            AttentionSetup setup = shapes.Read(parsed, arguments.Modes(parsed), arguments.Repeats(parsed));
            arguments.CheckPlot(parsed);
            using var backend = new CpuBackend(new CpuOptions { NumThreads = arguments.Threads(parsed) });
            var probe = new MachineProbe(arguments.Threads(parsed) ?? Environment.ProcessorCount, PairProbe.For(null));
            Task<Ceilings> MeasureCeilingsAsync() => Task.Run(
                () => probe.MeasureCeilings(Machine.Current.LastLevelCacheBytes, setup.MaxBytes / 4, cancellationToken), CancellationToken.None);
            Ceilings ceilings = await MeasureCeilingsAsync();
            var header = new BenchHeader(BenchArguments.CommandLine(parsed), Machine.Current, backend, ceilings);
            header.WriteNotes(terminal);
            JsonLines? output = arguments.Output(parsed, terminal);
            if (output is not null) header.WriteJson(output);

            var report = new AttentionReport(setup, ceilings);
            await terminal.WithProgressAsync("Measuring", progress => Task.Run(() =>
            {
                int numDone = 0;
                new AttentionBenchmark(backend, setup, Machine.Current, probe).Run(
                    rows =>
                    {
                        report.Add(rows, output);
                        progress?.Report((double)++numDone / setup.Cells.Count);
                    },
                    cancellationToken);
                return numDone;
            }, CancellationToken.None));
            report.WriteTable(terminal);
            header.WriteEnd(terminal, output, await MeasureCeilingsAsync());
            arguments.WritePlot(parsed, report.Chart());
        });
        return command;
    }
}
