using System.Diagnostics;
using System.Text.Json;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Hydragen.Engine;

namespace Hydragen.Cli.Bench;

/// <summary>One prompt of random tokens, completed by a batch of sequences, with each mode in turn: A B C, A B C, …</summary>
internal sealed class SweepProtocol(GenerationContext context, SweepPlan plan) : GenerationProtocol<GenerationCell, SweepRow>(context, plan.Cells)
{
    private const int Seed = 3, WarmUpRounds = 2;

    // Differences of two measured times can come out as nothing on a machine with other work.
    private const double MinSeconds = 1e-6;

    private readonly SharingMode[] _modes = [.. context.Modes.Select(BenchJson.ParseSharingMode)];
    private double[] _prefixTimes = [];

    private SweepReport Report => new(Context, plan.IsPaper, [.. Rows]);

    public override void WriteTable(Terminal terminal) => Report.WriteTable(terminal);

    public override IReadOnlyList<LineChart> Charts() => [Report.Chart()];

    protected override GenerationCell PointOf(SweepRow row) => row.Cell;

    protected override void Write(Utf8JsonWriter json, SweepRow row) => Report.Write(json, row);

    protected override SweepRow Read(JsonElement line) => SweepReport.Read(line);

    protected override void WarmUp(CancellationToken cancellationToken)
    {
        var cell = new GenerationCell(
            Math.Min(8, plan.Cells.Max(cell => cell.Batch)), Math.Min(256, plan.Cells.Max(cell => cell.Prefix)),
            Math.Min(64, plan.Cells.Max(cell => cell.Suffix)), NewTokens: 8);
        if (cell.Length > Context.Model.Configuration.MaxContextLength) return;
        for (int round = 0; round < WarmUpRounds; round++)
        {
            foreach (SharingMode mode in _modes.Where(mode => CheckPages(NumPages(cell, mode)) is null)) GenerateAll(cell, mode, cancellationToken);
        }
    }

    protected override IReadOnlyList<SweepRow> Measure(GenerationCell cell, CancellationToken cancellationToken)
    {
        var rounds = new ModeRounds<SharingMode, Round>(Context, _modes, mode => CheckPages(NumPages(cell, mode)));
        if (plan.IsPaper && rounds.AnyFits && Prefix?.Length != cell.Prefix)
            rounds.Prepare(() => _prefixTimes = KeepPrefix(Context.Tokens(new Random(Seed), cell.Prefix), Context.Repeats, cancellationToken));
        // On a GPU, kernels are compiled and algorithms chosen when a size first occurs, and that must not count. Elsewhere the prompt,
        // unless it is computed already, would cost more than it is worth.
        if (Context.Probe is null || plan.IsPaper)
            rounds.Each(mode => Time(cell with { NewTokens = Math.Min(cell.NewTokens, 3) }, mode, cancellationToken));
        rounds.Measure(mode => Time(cell, mode, cancellationToken));
        return [.. _modes.Select(mode => Row(cell, mode, rounds.Of(mode), rounds.State, rounds.WhyNot(mode)))];
    }

    private PageCount NumPages(GenerationCell cell, SharingMode mode)
    {
        PageCount pages = cell.NumPages(mode);
        return plan.IsPaper || !cell.OwnsPrompt ? pages : new PageCount(0, pages.Prefix + pages.Own);
    }

    private SweepRow Row(GenerationCell cell, SharingMode mode, IReadOnlyList<Round> rounds, MachineState? state, string? skipped)
    {
        if (rounds.Count == 0) return new SweepRow(cell, mode, 0, [], [], 0, null, skipped);
        GenerationStatistics statistics = rounds[0].Statistics;
        if (!plan.IsPaper)
        {
            return new SweepRow(
                cell, mode, statistics.ComputedPromptTokens, [.. rounds.Select(round => round.Statistics.PrefillTime.TotalSeconds)],
                [.. rounds.Select(round => round.Statistics.DecodeTime.TotalSeconds)], statistics.PeakKvBytes, state, null)
            {
                BusyShares = BusyShares(rounds),
            };
        }
        return new SweepRow(
            cell, mode, cell.Prefix, _prefixTimes, [.. rounds.Select(round => Math.Max(MinSeconds, round.AllTokens - round.OneToken))], statistics.PeakKvBytes, state, null)
        {
            AllTokensTimes = [.. rounds.Select(round => round.AllTokens)],
            OneTokenTimes = [.. rounds.Select(round => round.OneToken)],
            BusyShares = BusyShares(rounds),
        };
    }

    private static double[] BusyShares(IReadOnlyList<Round> rounds) => [.. rounds.Where(round => round.BusyShare is not null).Select(round => round.BusyShare!.Value)];

    private Round Time(GenerationCell cell, SharingMode mode, CancellationToken cancellationToken)
    {
        IComputeBackend backend = Context.Engine.Model.Backend;
        if (!plan.IsPaper)
        {
            (GenerationStatistics all, double? share) = DeviceShare.Watch(backend, () => GenerateAll(cell, mode, cancellationToken));
            return new Round(all, 0, 0, share);
        }
        (double oneToken, _) = Complete(cell with { NewTokens = 1 }, mode, cancellationToken);
        ((double allTokens, GenerationStatistics statistics), double? busyShare) = DeviceShare.Watch(backend, () => Complete(cell, mode, cancellationToken));
        return new Round(statistics, oneToken, allTokens, busyShare);
    }

    /// <summary>Completes the prompt that is kept.</summary>
    private (double Seconds, GenerationStatistics Statistics) Complete(GenerationCell cell, SharingMode mode, CancellationToken cancellationToken)
    {
        GenerationOptions options = Options(cell, mode, cell.Batch) with { Sampling = GenerationProtocols.PaperSampling };
        long start = Stopwatch.GetTimestamp();
        GenerationStatistics statistics = Context.Engine.GenerateTree([PromptNode.FromTokenIds([])], options, prefix: Prefix, cancellationToken: cancellationToken);
        return (Stopwatch.GetElapsedTime(start).TotalSeconds, statistics);
    }

    /// <summary>Computes the prompt and completes it.</summary>
    private GenerationStatistics GenerateAll(GenerationCell cell, SharingMode mode, CancellationToken cancellationToken)
    {
        var random = new Random(Seed);
        int[] shared = Context.Tokens(random, cell.Prefix);
        PromptNode[] own = cell.Suffix == 0 ? [] : [.. Enumerable.Range(0, cell.Batch).Select(_ => PromptNode.FromTokenIds(Context.Tokens(random, cell.Suffix)))];
        return Context.Engine.GenerateTree(
            [PromptNode.FromTokenIds(shared, own)], Options(cell, mode, own.Length == 0 ? cell.Batch : 1), cancellationToken: cancellationToken);
    }

    private static GenerationOptions Options(GenerationCell cell, SharingMode mode, int samples) => new()
    {
        MaxNewTokens = cell.NewTokens,
        SamplesPerPrompt = samples,
        Sampling = SamplingOptions.Greedy,
        Seed = Seed,
        IgnoreEos = true,
        Sharing = mode,
        AllowNoAttention = true,
    };

    /// <summary>One measurement of a mode: what the engine says, seconds of both calls for the paper's definition, and the GPU's busy share.</summary>
    private readonly record struct Round(GenerationStatistics Statistics, double OneToken, double AllTokens, double? BusyShare);
}
