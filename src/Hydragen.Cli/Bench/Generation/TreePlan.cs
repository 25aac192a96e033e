using System.Text.Json;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>Many samples for each of some problems, all behind one header.</summary>
/// <param name="NumProblems">Problems in all.</param>
/// <param name="NumSamples">Samples of each problem.</param>
/// <param name="HeaderTokens">Tokens that all samples share.</param>
/// <param name="ProblemTokens">Tokens that the samples of a problem share behind the header.</param>
/// <param name="NewTokens">New tokens of each sample.</param>
/// <param name="AtOnce">Problems of a call at the equal batch; null for as many as fit with one level.</param>
internal sealed record TreePlan(int NumProblems, int NumSamples, int HeaderTokens, int ProblemTokens, int NewTokens, int? AtOnce) : IGenerationPlan
{
    /// <summary>Only the header is shared; every sample computes and keeps its problem by itself.</summary>
    public const string OneLevel = "one-level";

    private const int MaxBatchSize = 4096;

    public int? ContextLength => HeaderTokens + ProblemTokens + NewTokens;

    public int MaxSequences => (int)Math.Min(MaxBatchSize, (long)NumProblems * NumSamples);

    public IReadOnlyList<string> Modes { get; } =
        [SharingMode.Hydragen.Name(), OneLevel, SharingMode.Copied.Name(), SharingMode.Paged.Name(), SharingMode.NoAttention.Name()];

    public int NumDefaultModes => 3;

    /// <summary>Pages that some problems need at once, the header's included.</summary>
    public PageCount NumPages(string mode, int numProblems)
    {
        static long PagesFor(int numTokens) => (numTokens + KvCache.PageSize - 1) / KvCache.PageSize;
        (int node, int own) = mode == OneLevel ? (0, ProblemTokens + NewTokens)
            : mode == SharingMode.Copied.Name() ? (ProblemTokens, ContextLength!.Value) : (ProblemTokens, NewTokens);
        return new PageCount(PagesFor(HeaderTokens) + numProblems * PagesFor(node), (long)numProblems * NumSamples * PagesFor(own));
    }

    public void WriteSettings(Utf8JsonWriter json)
    {
        json.WriteString("protocol", GenerationProtocols.Tree);
        json.WriteNumber("problems", NumProblems);
        json.WriteNumber("samples", NumSamples);
        json.WriteNumber("header_tokens", HeaderTokens);
        json.WriteNumber("problem_tokens", ProblemTokens);
        json.WriteNumber("new_tokens", NewTokens);
    }

    public IGenerationProtocol Create(GenerationContext context)
    {
        int limit = context.Model.Configuration.MaxContextLength;
        if (ContextLength > limit)
            throw new InputException($"--header-tokens, --problem-tokens and --new-tokens reach {ContextLength} tokens, but the model's context holds {limit}.");
        string mode = context.Modes.Contains(OneLevel) ? OneLevel : context.Modes.MaxBy(mode => context.BytesOf(NumPages(mode, 1)))!;
        int atOnce = AtOnce ?? 1;
        while (AtOnce is null && atOnce < NumProblems && context.BytesOf(NumPages(mode, atOnce + 1)) <= context.Engine.MaxKvBytes) atOnce++;
        return new TreeProtocol(context, this, [.. ((int[])[Math.Min(atOnce, NumProblems), NumProblems]).Distinct()]);
    }
}
