using System.CommandLine;
using Hydragen.Cli.Commands;
using Hydragen.Cli.Output;

namespace Hydragen.Cli.Bench;

/// <summary>Measures one step of attention.</summary>
internal static class AttentionBenchCommand
{
    private const string Details = """
        Protocols: published is the ten configurations for which tokens a second have been published for an A100, each
        with a suffix that grows from 1 to the number of generated tokens (measured at five lengths; the mean by the
        trapezoid rule); micro is a micro-benchmark: on a GPU that of arXiv 2402.05099 (figure 4: 8/1 heads of 128; batch x
        prefix 512 x 1024, 1024 x 2048, 2048 x 4096, 4096 x 8192), on a processor 64 sequences, 8/2 heads of 128, suffix
        128, prefix 1024, 4096 and 16384; tree is 1, 8 and 64 nodes of 2048, 512 and 128 tokens above 512 sequences of 128,
        and the same with the first level shared only; suffix is 256 sequences, 32/32 heads, without a prefix and with
        short suffixes; custom is what the options say. What does not fit into memory is listed, not run.
        Lists: 1,8,32 or 0..512..16 (first..last..step).
        Modes: hydragen reads the prefix once for all sequences; paged stores it once, and every sequence reads it;
        copied stores and reads a copy for each sequence. They run in turn (A B C A B C), their outputs are compared,
        and ratios are medians over rounds of times measured side by side. nodes and sequences are the two parts of
        hydragen's step alone: what sequences share, and what is their own.
        Data are about normal numbers. On a processor, calls rotate through data sets twice as large as the last cache, as
        the layers of a model do. On a GPU, a step is a CUDA graph, timed by events around each replay, and other memory
        is read before each so that the last cache holds none of the data. --warm turns both off.
        FLOP/s: 4 x query rows x heads x head size x keys seen, a second. Bytes: keys and values that the mode must
        read, once in total for a shared prefix (hydragen), else once for each sequence; paged re-reads a prefix that
        may lie in a cache, so it can exceed the memory's speed. Shares are of ceilings measured at the start: on a
        processor with all threads, products on registers (of BF16, in the unit that the kernels use, when the data are
        BF16; else FP32 multiply-adds), and the faster of two ways of reading memory, which are measured again right before
        and after each point: "of read" is the share of the faster of these; on a GPU, the faster of two BF16 products of
        cuBLASLt (4096 and 8192 rows and columns), and 16-byte loads over 4 GiB.
        x limit: the time as a multiple of the longer of products over shared keys at the first ceiling and all reads at
        the second; with --protocol suffix, of the reads and 8 us.
        Memory (GPU): what the device had in use after the longest suffix more than before (cuMemGetInfo); x cache: as a
        multiple of cache, queries and outputs. The rest is workspace, work lists and code.
        Machine (processor): what was left of it around a point: the rate of products fed by the first-level cache as a
        share of that on registers (tiles) or of the best of the run (other units), or the share of processor time that
        these got, whichever is less. Below 85 % the point counts as noisy. Ceilings are measured again at the end, and
        differences are reported.
        """;

    public static Command Create(Terminal terminal)
    {
        var command = new Verb("attention", "One step of attention, with sharing and without.", Details);
        var shapes = new AttentionArguments(command);
        AttentionMode[] allModes = Enum.GetValues<AttentionMode>();
        string[] Names(Func<AttentionMode, bool> isWanted) => [.. allModes.Where(isWanted).Select(mode => mode.Name())];
        var arguments = new BenchArguments(
            command, defaultRepeats: 7, [DeviceArguments.Cpu, DeviceArguments.Cuda],
            Names(mode => mode.IsWhole()), Names(mode => !mode.IsWhole()));
        command.Handle(terminal, async (parsed, cancellationToken) =>
        {
            bool isGpu = arguments.Device(parsed) == DeviceArguments.Cuda;
            AttentionMode[] modes = [.. arguments.Modes(parsed).Select(name => allModes.Single(mode => mode.Name() == name))];
            AttentionSetup setup = shapes.Read(parsed, isGpu, modes, arguments.Repeats(parsed));
            if (setup.IsMixed) setup = setup with { Modes = [.. modes.IntersectBy(arguments.WithoutCopies(parsed, Names(modes.Contains), AttentionMode.Copied.Name()), mode => mode.Name())] };
            arguments.CheckPlot(parsed);
            using AttentionDevice device = isGpu ? new GpuDevice() : new ProcessorDevice(arguments.Threads(parsed));
            setup = setup with { MaxBytes = shapes.MaxBytes(parsed) ?? device.MaxKvBytes };
            Task<ICeilings> MeasureCeilingsAsync() => Task.Run(() => device.MeasureCeilings(setup.MaxBytes, cancellationToken), CancellationToken.None);
            ICeilings ceilings = await MeasureCeilingsAsync();
            var header = new BenchHeader(BenchArguments.CommandLine(parsed), Machine.Current, device.Backend, ceilings) { Software = device.Software };
            header.WriteNotes(terminal);
            JsonLines? output = arguments.Output(parsed, terminal);
            if (output is not null) header.WriteJson(output);

            var rates = new AttentionRates(setup, ceilings);
            var report = new AttentionReport(setup, rates, device.Units);
            var published = new PublishedReport(rates, device.Units);
            int numDone = 0;
            await BenchTable.MeasureAsync(
                terminal,
                progress => new AttentionBenchmark(device, setup).Run(
                    rows =>
                    {
                        report.Add(rows, output);
                        published.Add(rows, output);
                        progress((double)++numDone / setup.Cells.Count);
                    },
                    cancellationToken),
                () => report.HasRows,
                () => report.WriteTable(terminal));
            published.WriteTable(terminal);
            header.WriteEnd(terminal, output is null ? [] : [output], await MeasureCeilingsAsync());
            arguments.WritePlot(parsed, setup.Protocol == AttentionProtocols.Published ? published.Chart() : report.Chart());
        });
        return command;
    }
}
