using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Hydragen.Cli.Commands;
using Hydragen.Cli.Output;
using Hydragen.Cli.Ranks;
using Hydragen.Core;
using Hydragen.Cpu;
using Hydragen.Cuda;
using Hydragen.Models;

namespace Hydragen.Cli.Bench;

/// <summary>Measures generation from shared prompts.</summary>
internal static class GenerationBenchCommand
{
    // A GPU wipes memory in the background after it was freed, and reads more slowly meanwhile.
    private static readonly TimeSpan MemoryWipeTime = TimeSpan.FromSeconds(2);

    private const string Details = """
        Modes: hydragen reads the prompt's keys and values once for all sequences; paged stores them once, and every
        sequence reads them; copied stores and reads a copy for each sequence; no-attention leaves attention out and
        is the ceiling of what it could gain (its output is meaningless). They run in turn, and ratios are medians
        over rounds of times measured side by side. All new tokens are generated, without regard to end-of-sequence
        tokens. What does not fit into KV memory is listed, not run.
        Protocols:
        - custom: one prompt of random token ids, completed by a batch of sequences, greedily. With --suffix, each
          sequence has so many prompt tokens of its own behind it. Every combination of the lists is measured: 1,8,32
          or 0..512..16 (first..last..step). Prefill speed counts the shared prompt once, and own prompts too.
        - paper: the same sweep as in arXiv 2402.05099, tables 1 to 6: decoding is a call for all new tokens less a call
          for one, sampled at temperature 100. The shared prompt is computed before and timed by itself.
        - needles: questions about a document that is computed before. time is that of the whole call, prompts of the
          questions and new tokens; an answer is correct when it names what the document says. More questions than fit
          at once wait for others. Needs a tokenizer.
        - tree: samples of problems, all behind one header that is computed before. hydragen shares header and problems
          (two levels); one-level shares the header only, and every sample computes and keeps its problem by itself;
          copied shares nothing. First calls of so many problems that one-level fits (equal batch), then one call of all
          problems, which decodes as many sequences at once as fit.
        Decode speed counts the new tokens of all sequences but the first of each. Operations: two for each weight of
        the matrix products, four for each element of query and key that meet. Bytes: the weights once a step, and keys
        and values once, or once for each sequence that reads them by itself.
        """;

    public static Command Create(Terminal terminal)
    {
        var command = new Verb("generate", "Prefill and decode of a model, with sharing and without.", Details);
        var measured = new GenerationArguments(command);
        string[] modes = [.. Enum.GetValues<SharingMode>().Select(mode => mode.Name())];
        var arguments = new BenchArguments(command, defaultRepeats: 3, [DeviceArguments.Cpu, DeviceArguments.Cuda], modes, TreePlan.OneLevel);
        command.Handle(terminal, async (parsed, cancellationToken) =>
        {
            bool isGpu = DeviceArguments.IsCuda(arguments.Device(parsed));
            IGenerationPlan plan = measured.Read(parsed, isGpu);
            string[] chosenModes = arguments.Modes(parsed, plan.Modes, plan.NumDefaultModes, $"--protocol {measured.Protocol(parsed)}");
            if (measured.PrefixKvType(parsed) is { } prefixType && prefixType != measured.KvType(parsed))
                chosenModes = arguments.WithoutCopies(parsed, chosenModes, SharingMode.Copied.Name());
            (string name, ModelSize? size, string folder) = measured.Model(parsed);
            WeightType weightType = measured.WeightType(parsed);
            arguments.CheckPlot(parsed);
            DeviceArguments.CheckWeightType(arguments.Device(parsed), weightType);
            using IComputeBackend backend = DeviceArguments.CreateBackend(arguments.Device(parsed), arguments.Threads(parsed));
            var options = new LanguageModelOptions
            {
                ComputeType = measured.ComputeType(parsed),
                KvType = measured.KvType(parsed),
                PrefixKvType = measured.PrefixKvType(parsed),
                KvScaling = measured.KvScaling(parsed),
                WeightType = weightType,
                MaxKvBytes = measured.MaxKvBytes(parsed),
                MaxBatchRows = Math.Max(measured.MaxBatchRows(parsed) ?? backend.PreferredBatchRows, plan.MaxSequences),
                Backend = backend,
            };
            void WriteSettings(Utf8JsonWriter json)
            {
                plan.WriteSettings(json);
                json.WriteString("model", name);
                json.WriteString("backend", backend.Description);
                json.WriteString("compute_type", options.ComputeType?.ShortName() ?? "auto");
                json.WriteString("kv_type", options.KvType?.ShortName() ?? "auto");
                if (options.PrefixKvType is { } ofPrefixes) json.WriteString("prefix_kv_type", ofPrefixes.ShortName());
                if (options.KvScaling != KvScaling.None) json.WriteString("kv_scaling", options.KvScaling.Name());
                json.WriteString("weight_type", weightType.Name());
                json.WriteString("modes", string.Join(',', chosenModes));
                json.WriteNumber("repeats", arguments.Repeats(parsed));
                json.WriteNumber("max_batch_rows", measured.MaxBatchRows(parsed) ?? 0);
                json.WriteNumber("max_kv_bytes", options.MaxKvBytes ?? 0);
                json.WriteString("version", BenchHeader.Version);
            }
            using ResultLog? log = measured.ResumePath(parsed) is { } path ? ResultLog.Open(path, WriteSettings) : null;
            // What the processor can do says nothing about a run on a GPU.
            MachineProbe? probe = isGpu ? null : new MachineProbe(arguments.Threads(parsed) ?? Environment.ProcessorCount, PairProbe.For(null));
            long maxKvBytes = options.MaxKvBytes ?? backend.Memory.DefaultCacheBytes;
            int numRanks = RankSession.NumRanks;
            Task<ICeilings> MeasureCeilingsAsync() =>
                Task.Run(() => MeasureCeilings(backend, probe, maxKvBytes, numRanks, cancellationToken), CancellationToken.None);
            ICeilings ceilings = await MeasureCeilingsAsync();

            var header = new BenchHeader(BenchArguments.CommandLine(parsed), Machine.Current, backend, ceilings)
            {
                NumRanks = numRanks,
                Software = backend is CudaBackend ? GpuDevice.DescribeSoftware() : null,
                WriteSettings = WriteSettings,
            };
            JsonLines? output, kept;
            IReadOnlyList<LineChart> charts;
            using (LanguageModel model = await LoadAsync(terminal, folder, size, plan.ContextLength ?? 0, options, cancellationToken))
            {
                var context = new GenerationContext(
                    model, name, weightType, ceilings, isGpu ? BenchUnits.Gpu : BenchUnits.Processor, probe, chosenModes, arguments.Repeats(parsed));
                using IGenerationProtocol protocol = plan.Create(context);
                IReadOnlyList<JsonElement> restored = log is null ? [] : protocol.Restore(log.Rows);
                header = header with { Ranks = context.Engine.Model.Group?.Description };
                header.WriteNotes(terminal);
                if (size is not null) terminal.Note($"Model: {name} (BF16, {(size.NumWeights / 1e9).ToString("0.0", CultureInfo.InvariantCulture)} · 10⁹ weights).");
                if (restored.Count > 0) terminal.Note($"{restored.Count} rows were measured before and are kept in {log!.Path}.");
                kept = log?.Start(header.WriteJson, restored);
                output = arguments.Output(parsed, terminal);
                if (output is not null) header.WriteJson(output);
                await BenchTable.MeasureAsync(
                    terminal, progress => protocol.Run(output, kept, progress, cancellationToken), () => protocol.HasRows, () => protocol.WriteTable(terminal));
                charts = protocol.Charts();
            }
            // Without the model there is as much memory as at the start.
            if (isGpu) await Task.Delay(MemoryWipeTime, cancellationToken);
            header.WriteEnd(terminal, ((JsonLines?[])[output, kept]).OfType<JsonLines>(), await MeasureCeilingsAsync());
            arguments.WritePlot(parsed, charts);
        });
        return command;
    }

    private static ICeilings MeasureCeilings(
        IComputeBackend backend, MachineProbe? probe, long maxKvBytes, int numRanks, CancellationToken cancellationToken)
    {
        if (backend is not CudaBackend gpu) return probe!.MeasureCeilings(Machine.Current.LastLevelCacheBytes, maxKvBytes / 4, cancellationToken);
        using var meter = new CudaMeter(gpu);
        GpuCeilings one = GpuCeilings.Measure(meter, gpu.Memory.AvailableBytes / 2, cancellationToken);
        return numRanks > 1 ? new RankCeilings(one, numRanks) : one;
    }

    private static async Task<LanguageModel> LoadAsync(
        Terminal terminal, string folder, ModelSize? size, int contextLength, LanguageModelOptions options, CancellationToken cancellationToken)
    {
        using WeightStore? random = size is null ? null : RandomModel.Weights(size);
        return await terminal.WithProgressAsync("Loading the model", progress => RankSession.LoadAsync(
            options,
            shared => random is null
                ? LanguageModel.LoadAsync(folder, shared, progress, cancellationToken)
                : LanguageModel.LoadAsync(RandomModel.Configuration(size!, Math.Max(1, contextLength)), random, shared, progress, cancellationToken),
            cancellationToken));
    }
}
