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
        foreach (string mode in Context.Modes) TryFit(() => Generate(1, mode, Math.Min(WarmUpTokens, plan.NewTokens), cancellationToken));
    }

    protected override IReadOnlyList<TreeRow> Measure(int atOnce, CancellationToken cancellationToken)
    {
        Dictionary<string, string?> skipped = Context.Modes.ToDictionary(mode => mode, mode => CheckPages(plan.NumPages(mode, atOnce < plan.NumProblems ? atOnce : 0)));
        IEnumerable<string> Fitting() => Context.Modes.Where(mode => skipped[mode] is null);
        var rounds = Context.Modes.ToDictionary(mode => mode, _ => new List<CallTimes>(Context.Repeats));
        var peaks = Context.Modes.ToDictionary(mode => mode, _ => (KvBytes: 0L, Batch: 0));
        // On a GPU, kernels are compiled and algorithms chosen when a size first occurs, and that must not count.
        if (Context.Probe is null)
        {
            foreach (string mode in Fitting().ToArray())
                skipped[mode] = TryFit(() => Generate(atOnce, mode, Math.Min(WarmUpTokens, plan.NewTokens), cancellationToken));
        }
        MachineState? state = !Fitting().Any() ? null : Context.Watch(() =>
        {
            for (int round = 0; round < Context.Repeats; round++)
            {
                foreach (string mode in Fitting().ToArray())
                {
                    skipped[mode] = TryFit(() =>
                    {
                        CallTimes times = default;
                        for (int first = 0; first < plan.NumProblems; first += atOnce)
                        {
                            long start = Stopwatch.GetTimestamp();
                            GenerationStatistics done = Generate(Math.Min(atOnce, plan.NumProblems - first), mode, plan.NewTokens, cancellationToken);
                            times = new CallTimes(
                                times.All + Stopwatch.GetElapsedTime(start).TotalSeconds, times.Prefill + done.PrefillTime.TotalSeconds,
                                times.Decode + done.DecodeTime.TotalSeconds);
                            peaks[mode] = (Math.Max(peaks[mode].KvBytes, done.PeakKvBytes), Math.Max(peaks[mode].Batch, done.PeakBatchSize));
                        }
                        rounds[mode].Add(times);
                    });
                }
            }
        });
        return [.. Context.Modes.Select(mode => skipped[mode] is null
            ? new TreeRow(atOnce, mode, rounds[mode], peaks[mode].KvBytes, peaks[mode].Batch, state, null)
            : new TreeRow(atOnce, mode, [], 0, 0, null, skipped[mode]))];
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
}
