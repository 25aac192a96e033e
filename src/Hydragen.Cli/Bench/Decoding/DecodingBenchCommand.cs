using System.CommandLine;
using System.Diagnostics;
using Hydragen.Cli.Commands;
using Hydragen.Cli.Output;

namespace Hydragen.Cli.Bench;

/// <summary>Measures prefill, decoding and both together, without anything shared, by type of keys and values.</summary>
internal static class DecodingBenchCommand
{
    private const string Details = """
        Sweeps: prefill-length is one sequence of 64 to 8192 tokens, causal; prefill-batch is 1 to 2048 sequences of 128
        tokens; decode-length-1 and decode-length-128 are one query row each for 1 and 128 sequences with 16 to 8192 keys;
        decode-batch is 1 to 2048 sequences with 128 keys; hybrid is 100 sequences of 128 tokens in one call, of which 0 to
        100 % are prefilled and the others, which stand first, decode. Nothing is shared.
        Points that do not fit into memory, or would take longer than --max-seconds leaves, are listed and not run. With a
        limit of time the quickest points run first, so JSON lines come in that order; the table keeps the order of the
        sweeps. All types of a point run, or none.
        FLOP/s: 4 x heads x head size x pairs of a query row and a key that it sees, a second (a causal prefill counts half
        of the square). Bytes: keys and values, once for each sequence. Shares are of ceilings measured at the start, as in
        bench attention, whose help says how data are made and timed; the ceiling of reads is measured with as many threads
        as compute. Below the table, each type's share of it at the largest point of the sweeps that decode. --plot draws a
        chart a sweep into one file: reads for sweeps that decode, FLOP/s for the others.
        """;

    public static Command Create(Terminal terminal)
    {
        var command = new Verb("decoding", "Prefill, decoding and hybrid batches without sharing, by type of keys and values.", Details);
        var sweeps = new DecodingArguments(command);
        var arguments = new BenchArguments(command, defaultRepeats: 5, [DeviceArguments.Cpu, DeviceArguments.Cuda], defaultModes: []);
        command.Handle(terminal, async (parsed, cancellationToken) =>
        {
            long start = Stopwatch.GetTimestamp();
            bool isGpu = arguments.Device(parsed) == DeviceArguments.Cuda;
            IReadOnlyList<DecodingPoint> points = sweeps.Points(parsed);
            TimeSpan? maxTime = sweeps.MaxTime(parsed, isGpu);
            arguments.CheckPlot(parsed);
            using AttentionDevice device = isGpu ? new GpuDevice() : new ProcessorDevice(arguments.Threads(parsed));
            IReadOnlyList<AttentionSetup> setups = sweeps.Setups(parsed, device, points, arguments.Repeats(parsed));
            Task<ICeilings> MeasureCeilingsAsync() =>
                Task.Run(() => device.MeasureCeilings(setups[0].MaxBytes, cancellationToken), CancellationToken.None);
            long beforeCeilings = Stopwatch.GetTimestamp();
            ICeilings ceilings = await MeasureCeilingsAsync();
            TimeSpan ceilingsTime = Stopwatch.GetElapsedTime(beforeCeilings);
            var header = new BenchHeader(BenchArguments.CommandLine(parsed), Machine.Current, device.Backend, ceilings) { Software = device.Software };
            header.WriteNotes(terminal);
            JsonLines? output = arguments.Output(parsed, terminal);
            if (output is not null) header.WriteJson(output);

            var report = new DecodingReport(points, setups, ceilings, device.Units);
            // The ceilings are measured once more at the end.
            TimeSpan? timeLeft = maxTime - Stopwatch.GetElapsedTime(start) - ceilingsTime;
            int numDone = 0;
            await BenchTable.MeasureAsync(
                terminal,
                progress => new DecodingBenchmark(device, setups, ceilings).Run(
                    points, timeLeft,
                    rows =>
                    {
                        report.Add(rows, output);
                        progress((double)++numDone / points.Count);
                    },
                    cancellationToken),
                () => report.HasRows,
                () => report.WriteTable(terminal));
            header.WriteEnd(terminal, output is null ? [] : [output], await MeasureCeilingsAsync());
            arguments.WritePlot(parsed, report.Charts());
        });
        return command;
    }
}
