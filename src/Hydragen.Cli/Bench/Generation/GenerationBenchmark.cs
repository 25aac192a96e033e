using Hydragen.Cli.Output;
using Hydragen.Core;
using Hydragen.Engine;

namespace Hydragen.Cli.Bench;

/// <summary>Generates with each mode in turn: A B C, A B C, …</summary>
internal sealed class GenerationBenchmark(InferenceEngine engine, GenerationSetup setup, MachineProbe? probe)
{
    private const int Seed = 3;
    private const int WarmUpRounds = 2;

    /// <summary>Measures all cells.</summary>
    /// <param name="onCell">Receives the modes of each cell as soon as they are done.</param>
    /// <param name="cancellationToken">Ends it between two steps.</param>
    public void Run(Action<IReadOnlyList<GenerationMeasurement>> onCell, CancellationToken cancellationToken)
    {
        long bytesPerPage;
        using (KvCache cache = engine.Model.CreateKvCache(0)) bytesPerPage = cache.BytesPerPage;
        WarmUp(bytesPerPage, cancellationToken);
        foreach (GenerationCell cell in setup.Cells) onCell(Measure(cell, bytesPerPage, cancellationToken));
    }

    /// <summary>Runs every mode on something small, so that no measurement pays for compiling the program.</summary>
    private void WarmUp(long bytesPerPage, CancellationToken cancellationToken)
    {
        var cell = new GenerationCell(
            Math.Min(8, setup.Cells.Max(cell => cell.Batch)), Math.Min(256, setup.Cells.Max(cell => cell.Prefix)),
            Math.Min(64, setup.Cells.Max(cell => cell.Suffix)), NewTokens: 8);
        if (cell.Length > engine.Model.Configuration.MaxContextLength) return;
        for (int round = 0; round < WarmUpRounds; round++)
        {
            foreach (SharingMode mode in setup.Modes.Where(mode => cell.NumPages(mode) * bytesPerPage <= setup.MaxKvBytes))
                Generate(cell, mode, cancellationToken);
        }
    }

    private GenerationMeasurement[] Measure(GenerationCell cell, long bytesPerPage, CancellationToken cancellationToken)
    {
        SharingMode[] modes = [.. setup.Modes.Where(mode => cell.NumPages(mode) * bytesPerPage <= setup.MaxKvBytes)];
        var rounds = modes.ToDictionary(mode => mode, _ => new List<GenerationStatistics>(setup.Repeats));
        MachineState? state = null;
        if (modes.Length > 0)
        {
            // On a GPU, kernels are compiled and algorithms chosen when a size first occurs, and that must not count.
            if (probe is null)
            {
                foreach (SharingMode mode in modes) Generate(cell with { NewTokens = Math.Min(cell.NewTokens, 3) }, mode, cancellationToken);
            }
            ProbeSample? before = probe?.MeasureState();
            for (int round = 0; round < setup.Repeats; round++)
            {
                foreach (SharingMode mode in modes) rounds[mode].Add(Generate(cell, mode, cancellationToken));
            }
            if (probe is not null && before is not null) state = new MachineState(before.Value, probe.MeasureState(), probe.BestState);
        }
        return [.. setup.Modes.Select(mode => rounds.TryGetValue(mode, out List<GenerationStatistics>? done)
            ? new GenerationMeasurement(cell, mode, done, state, null)
            : new GenerationMeasurement(cell, mode, [], null,
                $"needs {StatisticsTable.Mebibytes(cell.NumPages(mode) * bytesPerPage)}, but {StatisticsTable.Mebibytes(setup.MaxKvBytes)} are allowed"))];
    }

    private GenerationStatistics Generate(GenerationCell cell, SharingMode mode, CancellationToken cancellationToken)
    {
        var random = new Random(Seed);
        int vocabularySize = engine.Model.Configuration.VocabularySize;
        int[] Tokens(int count) => [.. Enumerable.Range(0, count).Select(_ => random.Next(vocabularySize))];
        int[] shared = Tokens(cell.Prefix);
        PromptNode[] own = cell.Suffix == 0 ? [] : [.. Enumerable.Range(0, cell.Batch).Select(_ => PromptNode.FromTokenIds(Tokens(cell.Suffix)))];
        var options = new GenerationOptions
        {
            MaxNewTokens = cell.NewTokens,
            SamplesPerPrompt = own.Length == 0 ? cell.Batch : 1,
            Sampling = SamplingOptions.Greedy,
            Seed = Seed,
            IgnoreEos = true,
            Sharing = mode,
            AllowNoAttention = true,
        };
        return engine.GenerateTree([PromptNode.FromTokenIds(shared, own)], options, cancellationToken: cancellationToken);
    }
}
