using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Models.Tests;

/// <summary>Logits of tiny random models of every architecture against those that transformers computed in FP32.</summary>
public sealed class GoldenModelTests
{
    public static TheoryData<string> Names => [.. GoldenModel.Names()];

    [Fact]
    public void Every_architecture_has_a_golden_model()
    {
        var covered = new HashSet<string>();
        foreach (string name in GoldenModel.Names())
        {
            using var golden = new GoldenModel(name);
            covered.Add(ModelConfiguration.Load(golden.Folder).Architecture);
        }
        Assert.Equal(Architecture.All.Select(a => a.Name).Order(StringComparer.Ordinal), covered.Order(StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_scalar_oracle_yields_the_logits_of_transformers(string name)
    {
        using var backend = new ScalarBackend();
        AssertGolden(name, backend);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_cpu_backend_yields_the_logits_of_transformers(string name)
    {
        using var backend = new CpuBackend(new CpuOptions { NumThreads = 2 });
        AssertGolden(name, backend);
    }

    private static void AssertGolden(string name, IComputeBackend backend)
    {
        using var golden = new GoldenModel(name);
        using DecoderModel model = DecoderModel.Load(golden.Folder, backend, ct: TestContext.Current.CancellationToken);
        for (int s = 0; s < golden.NumSequences; s++)
        {
            int[] ids = golden.TokenIds(s);
            foreach (int pieceLength in new[] { ids.Length, 1, 7 })
                Tolerance.AssertClose(golden.Logits(s), GoldenModel.Run(model, ids, pieceLength), Tolerance.GoldenLogit);
        }
    }
}
