using System.Text.Json;
using Hydragen.Core;
using Hydragen.Engine;

namespace Hydragen.Cli.Bench;

/// <summary>What the protocols of the generation benchmark measure with.</summary>
/// <param name="Model">The loaded model.</param>
/// <param name="Name">What was given as the model.</param>
/// <param name="WeightType">How its weights are kept.</param>
/// <param name="Ceilings">Of the device.</param>
/// <param name="Units">Of tables.</param>
/// <param name="Probe">Watches the processor; null when a GPU computes.</param>
/// <param name="Modes">Names of the modes to measure side by side.</param>
/// <param name="Repeats">Interleaved rounds.</param>
internal sealed record GenerationContext(
    LanguageModel Model, string Name, WeightType WeightType, ICeilings Ceilings, BenchUnits Units, MachineProbe? Probe, IReadOnlyList<string> Modes, int Repeats)
{
    public InferenceEngine Engine => Model.Engine;

    public ElementType ComputeType => Engine.Model.ComputeType;

    /// <summary>Type of KV memory.</summary>
    public ElementType KvType => Engine.Model.KvCacheShape.ElementType;

    /// <summary>Type of the KV memory of prefixes.</summary>
    public ElementType PrefixKvType => Engine.Model.KvCacheShape.TypeOf(PageKind.Prefix);

    public ModelWork Work { get; } = ModelWork.Of(Model.Engine.Model);

    /// <summary>Ranks that compute the model together.</summary>
    public int NumRanks => Engine.Model.Group?.Size ?? 1;

    /// <summary>Bytes of pages of KV memory, on this rank.</summary>
    public long BytesOf(PageCount pages) => (long)((pages.Prefix * Work.PrefixKvBytes + pages.Own * Work.KvBytes) * KvCache.PageSize) / NumRanks;

    /// <summary>The arithmetic ceiling, 10⁹ operations a second, or null.</summary>
    public double? Peak => Ceilings.PeakGflops(ComputeType);

    /// <summary>Model and types in one line.</summary>
    public string Title => string.Join(", ", ((string?[])[
        Name, ComputeType.ShortName(), KvType == ComputeType ? null : $"{KvType.ShortName()} keys and values",
        PrefixKvType == KvType ? null : $"{PrefixKvType.ShortName()} in prefixes",
        Engine.Model.KvScaling == KvScaling.None ? null : $"{Engine.Model.KvScaling.Name()} scales",
        WeightType == WeightType.Model ? null : $"{WeightType.Name()} weights", NumRanks > 1 ? $"{NumRanks} ranks" : null]).OfType<string>());

    /// <summary>Writes which model a row is of, and its types.</summary>
    public void WriteModel(Utf8JsonWriter json)
    {
        json.WriteString("model", Name);
        json.WriteString("compute_type", ComputeType.ShortName());
        json.WriteString("kv_type", KvType.ShortName());
        json.WriteString("prefix_kv_type", PrefixKvType.ShortName());
        if (Engine.Model.KvScaling != KvScaling.None) json.WriteString("kv_scaling", Engine.Model.KvScaling.Name());
        json.WriteString("weight_type", WeightType.Name());
        json.WriteNumber("ranks", NumRanks);
    }

    /// <summary>Runs something that may need more memory than there is.</summary>
    /// <returns>Why it did not fit, or null.</returns>
    public static string? TryFit(Action run)
    {
        try
        {
            run();
            return null;
        }
        catch (Exception exception) when (exception is OutOfKvMemoryException or InsufficientMemoryException)
        {
            return exception.Message;
        }
    }

    /// <summary>Measures between two looks at the state of the processor.</summary>
    public MachineState? Watch(Action measure)
    {
        ProbeSample? before = Probe?.MeasureState();
        measure();
        return before is null ? null : new MachineState(before.Value, Probe!.MeasureState(), Probe.BestState);
    }

    /// <summary>Random token ids.</summary>
    public int[] Tokens(Random random, int count)
    {
        int vocabularySize = Model.Configuration.VocabularySize;
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(vocabularySize))];
    }
}
