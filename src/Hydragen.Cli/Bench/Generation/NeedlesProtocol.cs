using System.Diagnostics;
using System.Text.Json;
using Hydragen.Cli.Demo;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Hydragen.Engine;

namespace Hydragen.Cli.Bench;

/// <summary>
/// Questions about one document that is computed before: every question is a short prompt of its own behind it, answered greedily with
/// a fixed number of tokens, so that all modes do the same work.
/// </summary>
internal sealed class NeedlesProtocol : GenerationProtocol<int, NeedlesRow>
{
    private const int NumTenths = 10, WarmUpQuestions = 8, WarmUpTokens = 256;

    private readonly NeedlesPlan _plan;
    private readonly SyntheticDocument _document;
    private readonly int[] _text;
    private readonly int[][] _questions;
    private readonly SharingMode[] _modes;
    private double[] _documentTimes = [];

    /// <param name="context">What to measure with.</param>
    /// <param name="plan">What was asked for.</param>
    /// <param name="document">The document; its questions are asked in turn, from the start again when there are too few.</param>
    /// <param name="text">Its tokens.</param>
    /// <param name="questions">Tokens of each question.</param>
    public NeedlesProtocol(GenerationContext context, NeedlesPlan plan, SyntheticDocument document, int[] text, int[][] questions)
        : base(context, plan.Questions)
    {
        _plan = plan;
        _document = document;
        _text = text;
        _questions = questions;
        _modes = [.. context.Modes.Select(BenchJson.ParseSharingMode)];
    }

    private NeedlesReport Report => new(Context, _plan, _document, _text.Length, _documentTimes, Prompts, [.. Rows]);

    public override void WriteTable(Terminal terminal) => Report.WriteTable(terminal);

    public override IReadOnlyList<LineChart> Charts() => [Report.Chart()];

    protected override int PointOf(NeedlesRow row) => row.NumQuestions;

    protected override NeedlesRow Read(JsonElement line) => NeedlesReport.Read(line);

    protected override void Write(Utf8JsonWriter json, NeedlesRow row) => Report.Write(json, row);

    protected override void WarmUp(CancellationToken cancellationToken)
    {
        KeepPrefix(_text[..Math.Min(WarmUpTokens, _text.Length)], 1, cancellationToken);
        _documentTimes = KeepPrefix(_text, Context.Repeats, cancellationToken);
        int count = Math.Min(WarmUpQuestions, _plan.MaxSequences);
        for (int i = 0; i < 2; i++)
        {
            foreach (SharingMode mode in _modes) GenerationContext.TryFit(() => Answer(count, mode, null, cancellationToken));
        }
    }

    protected override IReadOnlyList<NeedlesRow> Measure(int numQuestions, CancellationToken cancellationToken)
    {
        var rounds = new ModeRounds<SharingMode, (CallTimes Times, GenerationStatistics Statistics)>(Context, _modes, _ => null);
        var answers = _modes.ToDictionary(mode => mode, _ => new string[numQuestions]);
        // On a GPU, kernels are compiled and algorithms chosen when a size first occurs, and that must not count.
        if (Context.Probe is null) rounds.Each(mode => Answer(numQuestions, mode, null, cancellationToken));
        rounds.Measure(mode => Answer(numQuestions, mode, answers[mode], cancellationToken));
        return [.. _modes.Select(mode => rounds.WhyNot(mode) is { } reason
            ? new NeedlesRow(numQuestions, mode, [], [], [], 0, 0, null, reason)
            : Row(numQuestions, mode, rounds.Of(mode), answers[mode], rounds.State))];
    }

    private NeedlesRow Row(
        int numQuestions, SharingMode mode, IReadOnlyList<(CallTimes Times, GenerationStatistics Statistics)> rounds, string[] answers, MachineState? state)
    {
        int[] correct = new int[NumTenths], asked = new int[NumTenths];
        for (int i = 0; i < numQuestions; i++)
        {
            SyntheticQuestion question = _document.Questions[i % _document.Questions.Count];
            int tenth = Math.Min(NumTenths - 1, (int)(question.Position * NumTenths));
            asked[tenth]++;
            if (answers[i].Contains(question.ExpectedValue, StringComparison.Ordinal)) correct[tenth]++;
        }
        return new NeedlesRow(
            numQuestions, mode, [.. rounds.Select(round => round.Times)], correct, asked, rounds[0].Statistics.PeakKvBytes, rounds[0].Statistics.PeakBatchSize, state, null);
    }

    /// <summary>Asks the first questions; answers end with their line or their end-of-sequence token.</summary>
    private (CallTimes Times, GenerationStatistics Statistics) Answer(int numQuestions, SharingMode mode, string[]? answers, CancellationToken cancellationToken)
    {
        PromptNode[] prompts = [.. Enumerable.Range(0, numQuestions).Select(i => PromptNode.FromTokenIds(QuestionOf(i)))];
        var options = new GenerationOptions
        {
            MaxNewTokens = _plan.NewTokens,
            Sampling = SamplingOptions.Greedy,
            IgnoreEos = true,
            Sharing = mode,
            AllowNoAttention = true,
        };
        var results = new IReadOnlyList<int>[numQuestions];
        long start = Stopwatch.GetTimestamp();
        // A tree keeps equal questions apart, which flat prompts would share.
        GenerationStatistics statistics = Context.Engine.GenerateTree(
            prompts, options, onResult: result => results[result.InputIndex] = result.TokenIds, prefix: Prefix, cancellationToken: cancellationToken);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        for (int i = 0; answers is not null && i < numQuestions; i++)
        {
            IEnumerable<int> kept = results[i].TakeWhile(id => !Context.Model.Configuration.EosTokenIds.Contains(id));
            answers[i] = Context.Model.Tokenizer!.Decode([.. kept]).Split('\n', 2)[0];
        }
        return (new CallTimes(seconds, statistics.PrefillTime.TotalSeconds, statistics.DecodeTime.TotalSeconds), statistics);
    }

    private (int Tokens, double Flops) Prompts(int numQuestions, SharingMode mode)
    {
        IEnumerable<int> lengths = Enumerable.Range(0, numQuestions).Select(i => QuestionOf(i).Length);
        return (lengths.Sum(), lengths.Sum(length => Context.Work.PrefillFlops(_text.Length, length, mode)));
    }

    private int[] QuestionOf(int index) => _questions[index % _questions.Length];
}
