using System.CommandLine;
using Hydragen.Cli.Commands;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Hydragen.Cpu;
using Hydragen.Cuda;

namespace Hydragen.Cli.Bench;

/// <summary>Measures generation from one shared prompt.</summary>
internal static class GenerationBenchCommand
{
    private const string Details = """
        One prompt of random token ids, completed by a batch of sequences, greedily and without regard to
        end-of-sequence tokens. With --suffix, each sequence has so many prompt tokens of its own behind it. Every combination of the lists is measured: 1,8,32 or 0..512..16 (first..last..step).
        Modes: hydragen reads the prompt's keys and values once for all sequences; paged stores them once, and every
        sequence reads them; copied stores and reads a copy for each sequence; no-attention leaves attention out and
        is the ceiling of what it could gain (its output is meaningless). They run in turn, and ratios are medians
        over rounds of speeds measured side by side.
        Prefill speed counts the shared prompt once, and own prompts too; decode speed counts the new tokens of all sequences but the first
        of each. What does not fit into KV memory is listed, not run.
        """;

    public static Command Create(Terminal terminal)
    {
        var command = new Verb("generate", "Prefill and decode of a model, with sharing and without.", Details);
        var sweep = new GenerationArguments(command);
        SharingMode[] modes = Enum.GetValues<SharingMode>();
        var arguments = new BenchArguments(command, defaultRepeats: 3, [DeviceArguments.Cpu, DeviceArguments.Cuda], [.. modes.Select(mode => mode.Name())]);
        command.Handle(terminal, async (parsed, cancellationToken) =>
        {
            GenerationSetup setup = sweep.Read(parsed, [.. arguments.Modes(parsed).Select(name => modes.Single(mode => mode.Name() == name))], arguments.Repeats(parsed));
            ModelSize? size = sweep.RandomModelSize(parsed);
            string? folder = size is null ? sweep.ModelFolder(parsed) : null;
            arguments.CheckPlot(parsed);
            DeviceArguments.CheckWeightType(arguments.Device(parsed), setup.WeightType);
            IComputeBackend backend = DeviceArguments.CreateBackend(arguments.Device(parsed), arguments.Threads(parsed));
            // What the processor can do says nothing about a run on a GPU.
            MachineProbe? probe = DeviceArguments.IsCuda(arguments.Device(parsed))
                ? null : new MachineProbe(arguments.Threads(parsed) ?? Environment.ProcessorCount, PairProbe.For(null));
            long maxKvBytes = sweep.MaxKvBytes(parsed) ?? backend.Memory.DefaultCacheBytes;
            Task<ICeilings> MeasureCeilingsAsync() => Task.Run(() => MeasureCeilings(backend, probe, maxKvBytes, cancellationToken), CancellationToken.None);
            ICeilings ceilings = await MeasureCeilingsAsync();

            var options = new LanguageModelOptions
            {
                ComputeType = sweep.ComputeType(parsed),
                KvType = sweep.KvType(parsed),
                WeightType = setup.WeightType,
                MaxKvBytes = sweep.MaxKvBytes(parsed),
                MaxBatchRows = Math.Max(new LanguageModelOptions().MaxBatchRows, setup.Cells.Max(cell => cell.Batch)),
                Backend = backend,
                OwnsBackend = true,
            };
            using LanguageModel model = await LoadAsync(terminal, folder, size, setup.ContextLength, options, cancellationToken);
            setup = setup with { ComputeType = model.Engine.Model.ComputeType, KvType = model.Engine.Model.KvCacheShape.ElementType, MaxKvBytes = model.Engine.MaxKvBytes };
            if (setup.ContextLength > model.Configuration.MaxContextLength)
            {
                throw new InputException(
                    $"--prefix, --suffix and --new-tokens reach {setup.ContextLength} tokens, but the model's context holds {model.Configuration.MaxContextLength}.");
            }
            var header = new BenchHeader(BenchArguments.CommandLine(parsed), Machine.Current, backend, ceilings) { Software = backend is CudaBackend ? GpuDevice.DescribeSoftware() : null };
            header.WriteNotes(terminal);
            JsonLines? output = arguments.Output(parsed, terminal);
            if (output is not null) header.WriteJson(output);

            var report = new GenerationReport(setup, model.Configuration, ceilings);
            await terminal.WithProgressAsync("Measuring", progress => Task.Run(() =>
            {
                int numDone = 0;
                new GenerationBenchmark(model.Engine, setup, probe).Run(
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

    private static ICeilings MeasureCeilings(IComputeBackend backend, MachineProbe? probe, long maxKvBytes, CancellationToken cancellationToken)
    {
        if (backend is not CudaBackend gpu) return probe!.MeasureCeilings(Machine.Current.LastLevelCacheBytes, maxKvBytes / 4, cancellationToken);
        using var meter = new CudaMeter(gpu);
        return GpuCeilings.Measure(meter, gpu.Memory.AvailableBytes / 2, cancellationToken);
    }

    private static async Task<LanguageModel> LoadAsync(
        Terminal terminal, string? folder, ModelSize? size, int contextLength, LanguageModelOptions options, CancellationToken cancellationToken)
    {
        using RandomModel? random = size is null ? null : RandomModel.Write(size, contextLength);
        return await terminal.WithProgressAsync(
            "Loading the model", progress => LanguageModel.LoadAsync(random?.Folder ?? folder!, options, progress, cancellationToken));
    }
}
