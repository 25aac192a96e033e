using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Models.Tests;

/// <summary>Models whose weights are rounded to INT8 while they are loaded.</summary>
public sealed class Int8WeightTests
{
    private static readonly DecoderOptions Int8 = new() { WeightType = WeightType.Int8 };

    public static TheoryData<string> Names => [.. GoldenModel.Names()];

    [Theory]
    [MemberData(nameof(Names))]
    public void Logits_are_those_of_the_oracle_and_stay_near_those_of_transformers_in_FP32(string name)
    {
        using var golden = new GoldenModel(name);
        using var cpu = new CpuBackend(new CpuOptions { NumThreads = 2 });
        using var scalar = new ScalarBackend();
        using DecoderModel model = DecoderModel.Load(golden.Folder, cpu, Int8, ct: TestContext.Current.CancellationToken);
        using DecoderModel oracle = DecoderModel.Load(golden.Folder, scalar, Int8, ct: TestContext.Current.CancellationToken);
        var logits = new List<float>();
        var oracleLogits = new List<float>();
        var exactLogits = new List<float>();
        for (int s = 0; s < golden.NumSequences; s++)
        {
            int[] ids = golden.TokenIds(s);
            logits.AddRange(GoldenModel.Run(model, ids, ids.Length));
            Assert.Equal(GoldenModel.Run(model, ids, 1), logits[^(ids.Length * model.Configuration.VocabularySize)..]);
            oracleLogits.AddRange(GoldenModel.Run(oracle, ids, ids.Length));
            exactLogits.AddRange(golden.Logits(s));
        }
        double fromOracle = RelativeError(oracleLogits, logits), fromExact = RelativeError(exactLogits, logits);
        TestContext.Current.TestOutputHelper?.WriteLine($"relative error {fromExact:g3}, from the oracle {fromOracle:g3}");
        Assert.InRange(fromOracle, 0, Tolerance.Int8Oracle);
        // Less than the lower bound would mean that the weights were not rounded.
        Assert.InRange(fromExact, 1e-3, Tolerance.Int8Logits(model.Configuration.NumLayers));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Products_take_a_byte_a_weight_and_the_embedding_table_keeps_its_type(bool isTied)
    {
        using var golden = new GoldenModel(isTied ? "llama-bias-tied" : "llama");
        using var backend = new ScalarBackend();
        using DecoderModel stored = DecoderModel.Load(golden.Folder, backend, ct: TestContext.Current.CancellationToken);
        var reported = new Reported();
        using DecoderModel model = DecoderModel.Load(golden.Folder, backend, Int8, reported, TestContext.Current.CancellationToken);
        ModelConfiguration config = model.Configuration;
        Assert.Equal(isTied, config.TieWordEmbeddings);
        AttentionShape heads = config.Heads;
        long table = (long)config.VocabularySize * config.HiddenSize;
        long norms = (2L * config.NumLayers + 1) * config.HiddenSize;
        long layers = config.NumLayers * (long)config.HiddenSize * (heads.HeadDim * 2L * (heads.NumHeads + heads.NumKvHeads) + 3L * config.IntermediateSize);
        Assert.Equal(sizeof(float) * (norms + layers + (isTied ? 1 : 2) * table), stored.WeightBytes);
        // A tied table is there twice: as it was, for look-ups, and as INT8, for logits.
        Assert.Equal(sizeof(float) * (norms + table) + layers + table, model.WeightBytes);
        Assert.Equal((WeightType.Model, WeightType.Int8), (stored.WeightType, model.WeightType));
        Assert.Equal(1, reported.Values[^1]);
        Assert.Equal(reported.Values.Order(), reported.Values);
    }

    [Fact]
    public void An_unknown_weight_type_is_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new DecoderOptions { WeightType = (WeightType)2 });

    /// <summary>Root mean square of the differences, relative to that of what was expected.</summary>
    private static double RelativeError(List<float> expected, List<float> actual)
    {
        Assert.Equal(expected.Count, actual.Count);
        return Math.Sqrt(expected.Zip(actual, (a, b) => Math.Pow((double)a - b, 2)).Sum() / expected.Sum(value => Math.Pow(value, 2)));
    }

    private sealed class Reported : IProgress<double>
    {
        public List<double> Values { get; } = [];

        public void Report(double value) => Values.Add(value);
    }
}
