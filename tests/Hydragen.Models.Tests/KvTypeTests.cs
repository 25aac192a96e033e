using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Models.Tests;

/// <summary>Models whose keys and values are kept as bytes.</summary>
public sealed class KvTypeTests
{
    public static TheoryData<string, ElementType> Cases
    {
        get
        {
            var cases = new TheoryData<string, ElementType>();
            foreach (string name in GoldenModel.Names().Where(name => !name.Contains('/', StringComparison.Ordinal)))
            {
                foreach (ElementType type in (ElementType[])[ElementType.Int8, ElementType.Float8E4M3, ElementType.Float8E5M2]) cases.Add(name, type);
            }
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Logits_are_those_of_the_oracle_and_stay_near_those_of_transformers(string name, ElementType kvType)
    {
        using var golden = new GoldenModel(name);
        using var cpu = new CpuBackend(new CpuOptions { NumThreads = 2 });
        using var scalar = new ScalarBackend();
        var options = new DecoderOptions { KvType = kvType };
        using DecoderModel model = DecoderModel.Load(golden.Folder, cpu, options, ct: TestContext.Current.CancellationToken);
        using DecoderModel oracle = DecoderModel.Load(golden.Folder, scalar, options, ct: TestContext.Current.CancellationToken);
        Assert.Equal((ElementType.Float32, kvType), (model.ComputeType, model.KvCacheShape.ElementType));
        var logits = new List<float>();
        var oracleLogits = new List<float>();
        var exactLogits = new List<float>();
        for (int s = 0; s < golden.NumSequences; s++)
        {
            int[] ids = golden.TokenIds(s);
            logits.AddRange(GoldenModel.Run(model, ids, ids.Length));
            oracleLogits.AddRange(GoldenModel.Run(oracle, ids, ids.Length));
            exactLogits.AddRange(golden.Logits(s));
        }
        Tolerance.AssertRelative([.. oracleLogits], [.. logits], Tolerance.KvOracle(kvType));
        Tolerance.AssertRelative([.. exactLogits], [.. logits], Tolerance.KvLogits(kvType, model.Configuration.NumLayers));
    }

    [Theory]
    [InlineData(ElementType.Float8E4M3)]
    [InlineData(ElementType.Float8E5M2)]
    public void The_largest_magnitudes_are_those_of_the_oracle_and_nothing_is_kept(ElementType kvType)
    {
        string name = GoldenModel.Names().First(name => !name.Contains('/', StringComparison.Ordinal));
        using var golden = new GoldenModel(name);
        using var cpu = new CpuBackend(new CpuOptions { NumThreads = 2 });
        using var scalar = new ScalarBackend();
        var options = new DecoderOptions { KvType = kvType, KvScaling = KvScaling.Calibrated };
        using DecoderModel model = DecoderModel.Load(golden.Folder, cpu, options, ct: TestContext.Current.CancellationToken);
        using DecoderModel oracle = DecoderModel.Load(golden.Folder, scalar, options, ct: TestContext.Current.CancellationToken);
        int[] ids = golden.TokenIds(0);
        int numLive = scalar.NumLive;
        KvMagnitude[] largest = model.FindLargest(ids), expected = oracle.FindLargest(ids);
        Assert.Equal(numLive, scalar.NumLive);
        Assert.Equal(model.KvCacheShape.NumLayers * model.KvCacheShape.NumKvHeads, largest.Length);
        foreach ((KvMagnitude found, KvMagnitude sought) in largest.Zip(expected))
        {
            Assert.Equal(sought.Key, found.Key, 1e-4 * sought.Key);
            Assert.Equal(sought.Value, found.Value, 1e-4 * sought.Value);
        }
        Assert.True(model.CalibrationBytes >= model.KvCacheShape.NumLayers * 2L * model.KvCacheShape.NumKvHeads * model.KvCacheShape.HeadDim * sizeof(float) * model.MaxCalibrationTokens);
    }
}
