using System.Diagnostics;
using System.Text.Json;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Hydragen.Engine;

namespace Hydragen.Cli.Bench;

/// <summary>
/// The shape of competitive programming: a header of examples that is computed before, behind it some problems, behind each many
/// samples. Calls of few problems compare modes at an equal batch; a call of all problems takes as many sequences at once as fit.
/// </summary>
internal sealed class TreeProtocol(GenerationContext context, TreePlan plan, IReadOnlyList<int> points) : GenerationProtocol<int, TreeRow>(context, points)
{
    private const int Seed = 5, WarmUpPrompt = 256, WarmUpTokens = 4;

    private double[] _headerTimes = [];

    private TreeReport Report => new(Context, plan, _headerTimes, Points[0], [.. Rows]);

    public override void WriteTable(Terminal terminal) => Report.WriteTable(terminal);

    public override IReadOnlyList<LineChart> Charts() => [Report.Chart()];

    protected override int PointOf(TreeRow row) => row.AtOnce;

    protected override void Write(Utf8JsonWriter json, TreeRow row) => Report.Write(json, row);

    protected override TreeRow Read(JsonElement line) => TreeReport.Read(line);

    protected override void WarmUp(CancellationToken cancellationToken)
    {
        int[] header = Context.Tokens(new Random(Seed), plan.HeaderTokens);
        KeepPrefix(header[..Math.Min(WarmUpPrompt, header.Length)], 1, cancellationToken);
        _headerTimes = KeepPrefix(header, Context.Repeats, cancellationToken);
        foreach (string mode in Context.Modes) GenerationContext.TryFit(() => Generate(1, mode, Math.Min(WarmUpTokens, plan.NewTokens), cancellationToken));
    }

    protected override IReadOnlyList<TreeRow> Measure(int atOnce, CancellationToken cancellationToken)
    {
        var rounds = new ModeRounds<string, Round>(
            Context, Context.Modes, mode => CheckPages(plan.NumPages(mode, atOnce < plan.NumProblems ? atOnce : 0)));
        // On a GPU, kernels are compiled and algorithms chosen when a size first occurs, and that must not count.
        if (Context.Probe is null) rounds.Each(mode => Generate(atOnce, mode, Math.Min(WarmUpTokens, plan.NewTokens), cancellationToken));
        rounds.Measure(mode => GenerateAll(atOnce, mode, cancellationToken));
        return [.. Context.Modes.Select(mode => rounds.WhyNot(mode) is { } reason
            ? new TreeRow(atOnce, mode, [], 0, 0, null, reason)
            : new TreeRow(
                atOnce, mode, [.. rounds.Of(mode).Select(round => round.Times)], rounds.Of(mode).Max(round => round.PeakKvBytes),
                rounds.Of(mode).Max(round => round.PeakBatchSize), rounds.State, null))];
    }

    /// <summary>All problems, so many in a call.</summary>
    private Round GenerateAll(int atOnce, string mode, CancellationToken cancellationToken)
    {
        Round sum = default;
        for (int first = 0; first < plan.NumProblems; first += atOnce)
        {
            long start = Stopwatch.GetTimestamp();
            GenerationStatistics done = Generate(Math.Min(atOnce, plan.NumProblems - first), mode, plan.NewTokens, cancellationToken);
            var times = new CallTimes(
                sum.Times.All + Stopwatch.GetElapsedTime(start).TotalSeconds, sum.Times.Prefill + done.PrefillTime.TotalSeconds,
                sum.Times.Decode + done.DecodeTime.TotalSeconds);
            sum = new Round(times, Math.Max(sum.PeakKvBytes, done.PeakKvBytes), Math.Max(sum.PeakBatchSize, done.PeakBatchSize));
        }
        return sum;
    }

    private GenerationStatistics Generate(int numProblems, string mode, int newTokens, CancellationToken cancellationToken)
    {
        var random = new Random(Seed + 1);
        bool isOneLevel = mode == TreePlan.OneLevel;
        PromptNode[] prompts =
        [
            .. Enumerable.Range(0, numProblems).Select(_ => Context.Tokens(random, plan.ProblemTokens))
                .SelectMany(problem => Enumerable.Repeat(PromptNode.FromTokenIds(problem), isOneLevel ? plan.NumSamples : 1)),
        ];
        var options = new GenerationOptions
        {
            MaxNewTokens = newTokens,
            SamplesPerPrompt = isOneLevel ? 1 : plan.NumSamples,
            Sampling = GenerationProtocols.PaperSampling,
            Seed = Seed,
            IgnoreEos = true,
            Sharing = isOneLevel ? SharingMode.Hydragen : BenchJson.ParseSharingMode(mode),
            AllowNoAttention = true,
        };
        return Context.Engine.GenerateTree(prompts, options, prefix: Prefix, cancellationToken: cancellationToken);
    }

    /// <summary>One measurement of a mode.</summary>
    private readonly record struct Round(CallTimes Times, long PeakKvBytes, int PeakBatchSize);
}
