using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

/// <summary>Selection, life time and argument checks.</summary>
[Collection(nameof(BackendTests))]
public sealed class BackendTests
{
    [CollectionDefinition(nameof(BackendTests), DisableParallelization = true)]
    public sealed class Alone;

    [Fact]
    public void The_best_supported_instruction_set_is_chosen_and_reported()
    {
        string? before = Environment.GetEnvironmentVariable(InstructionSet.Variable);
        try
        {
            Environment.SetEnvironmentVariable(InstructionSet.Variable, null);
            using CpuBackend backend = new();
            InstructionSet best = InstructionSet.All.First(row => row.IsSupported);
            Assert.Equal(
                [("attention", best.Name), ("matrix product", best.Name), (CpuBackend.Int8Product, backend.Kernels[^2].Kernel), ("elementwise", best.VectorName)],
                backend.Kernels.Where(kernel => !IsOfType(kernel)).Select(kernel => (kernel.Operation, kernel.Kernel)));
            Assert.All(backend.Kernels, kernel => Assert.DoesNotContain('\n', kernel.Reason));
            Assert.Contains(InstructionSet.All.First(row => row.Name == best.VectorName).Reason, backend.Kernels[^1].Reason, StringComparison.Ordinal);
            Assert.StartsWith("CPU, ", backend.Description, StringComparison.Ordinal);

            Environment.SetEnvironmentVariable(InstructionSet.Variable, "vector128");
            using CpuBackend forced = new();
            Assert.All(forced.Kernels, kernel => Assert.Equal("vector128", kernel.Kernel));
            Assert.Contains(InstructionSet.Variable, forced.Kernels[0].Reason, StringComparison.Ordinal);

            Environment.SetEnvironmentVariable(InstructionSet.Variable, "mmx");
            ArgumentException unknown = Assert.Throws<ArgumentException>(() => new CpuBackend());
            Assert.Contains("mmx", unknown.Message, StringComparison.Ordinal);
            Assert.Contains("amx, avx512bf16, avx512, avx2, vector128", unknown.Message, StringComparison.Ordinal);
        }
        finally
        {
            Environment.SetEnvironmentVariable(InstructionSet.Variable, before);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Attention_is_reported_for_every_type_of_keys_and_values(string name)
    {
        using CpuBackend backend = InstructionSets.Backend(name);
        InstructionSet row = InstructionSet.All.First(row => row.Name == name);
        Dictionary<string, KernelChoice> kernels = backend.Kernels.Where(IsOfType).ToDictionary(kernel => kernel.Operation);
        int found = 0;
        foreach (ElementType type in ElementTypes.All)
        {
            string operation = $"attention over {type.ShortName()}";
            Assert.Equal(row.VectorName, kernels[operation].Kernel);
            found++;
            // A type that meets BF16 queries without being widened to FP32 has a line of its own for them.
            bool hasPairs = backend.WeightTypeFor(ElementType.BFloat16, type) == ElementType.BFloat16;
            Assert.Equal(hasPairs, kernels.TryGetValue(operation + ", bf16 queries", out KernelChoice? pairs));
            if (!hasPairs) continue;
            Assert.Equal(name, pairs!.Kernel);
            found++;
        }
        Assert.Equal(found, kernels.Count);
        bool isWide = row.VectorName == "avx512";
        Assert.Equal(isWide && ByteTable.IsSupported, kernels["attention over int8"].Reason.Contains("table", StringComparison.Ordinal));
        Assert.Equal(isWide && HalfTile.Shared is not null, kernels["attention over f16"].Reason.Contains("vcvtph2ps", StringComparison.Ordinal));
    }

    [Fact]
    public void An_option_beats_the_environment_and_wrong_options_are_refused()
    {
        using var backend = new CpuBackend(new CpuOptions { InstructionSet = "vector128", NumThreads = 1 });
        Assert.Equal("CPU, Vector128, 4 lanes, 1 thread", backend.Description);
        Assert.Throws<ArgumentException>(() => new CpuBackend(new CpuOptions { InstructionSet = "AVX2" }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new CpuOptions { NumThreads = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new CpuOptions { NumThreads = 5000 });
    }

    [Fact]
    public void Freed_things_are_refused_not_read()
    {
        var backend = new CpuBackend();
        DeviceBuffer freed = backend.Allocate(ElementType.Float32, 64), alive = backend.Allocate(ElementType.Float32, 64);
        PackedMatrix matrix = backend.PackMatrix(new TestMatrix(new Random(1), 8, 8, ElementType.Float32, true));
        KvCache cache = backend.CreateKvCache(new KvCacheShape(1, 1, 8, ElementType.Float32), 1);
        freed.Dispose();
        freed.Dispose();
        Assert.Throws<ObjectDisposedException>(() => freed.Upload([1]));
        Assert.Throws<ObjectDisposedException>(() => freed.Download(new float[1]));
        Assert.Throws<ObjectDisposedException>(() => backend.Linear(freed, 1, matrix, alive));
        Assert.Throws<ObjectDisposedException>(() => backend.Linear(alive, 1, matrix, freed));
        matrix.Dispose();
        using DeviceBuffer other = backend.Allocate(ElementType.Float32, 64);
        Assert.Throws<ObjectDisposedException>(() => backend.Linear(alive, 1, matrix, other));
        Assert.Throws<ObjectDisposedException>(() => backend.EmbeddingLookup(matrix, [1], 1, other));
        cache.Dispose();
        Assert.Throws<ObjectDisposedException>(() => cache.Reserve(2));
        Assert.Throws<ObjectDisposedException>(() => cache.Copy(0, 1, 1));
        AttentionPlan plan = OneRow(0);
        Assert.Throws<ObjectDisposedException>(() => backend.Attention(plan, new AttentionShape(1, 1, 8), AttentionOptions.Default, alive, cache, 0, other, null));
        backend.Dispose();
        backend.Dispose();
        Assert.Throws<ObjectDisposedException>(() => backend.Allocate(ElementType.Float32, 1));
        Assert.Throws<ObjectDisposedException>(() => backend.RmsNorm(alive, 1, other, 1, alive));
        alive.Upload([1]);
        alive.Dispose();
    }

    [Fact]
    public void Buffers_that_do_not_fit_are_refused_with_both_sizes()
    {
        using CpuBackend backend = new();
        using DeviceBuffer small = backend.Allocate(ElementType.Float32, 15), large = backend.Allocate(ElementType.Float32, 64), half = backend.Allocate(ElementType.BFloat16, 64);
        using DeviceBuffer weight = backend.Allocate(ElementType.Float32, 8);
        using PackedMatrix matrix = backend.PackMatrix(new TestMatrix(new Random(1), 8, 8, ElementType.Float32, true));
        ArgumentException exception = Assert.Throws<ArgumentException>(() => backend.Linear(small, 2, matrix, large));
        Assert.Contains("15", exception.Message, StringComparison.Ordinal);
        Assert.Contains("16", exception.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => backend.Linear(large, 2, matrix, small));
        Assert.Throws<ArgumentException>(() => backend.Linear(large, 2, matrix, large));
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.Linear(large, -1, matrix, half));
        Assert.Throws<ArgumentException>(() => backend.RmsNorm(small, 2, weight, 1, large));
        Assert.Throws<ArgumentException>(() => backend.RmsNorm(large, 2, half, 1, large));
        Assert.Throws<ArgumentException>(() => backend.AddRmsNorm(half, large, 1, 2, weight, 1, large));
        Assert.Throws<ArgumentException>(() => backend.AddRmsNorm(small, large, 1, 2, weight, 1, large));
        Assert.Throws<ArgumentException>(() => backend.GatedActivation(small, 1, 8, ActivationKind.Silu, large));
        Assert.Throws<ArgumentException>(() => backend.GatedActivation(large, 1, 8, ActivationKind.Silu, large));
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.GatedActivation(large, 1, 8, (ActivationKind)9, half));
        Assert.Throws<ArgumentException>(() => backend.EmbeddingLookup(matrix, [1, 2], 1, small));
        Assert.Throws<ArgumentException>(() => backend.EmbeddingLookup(matrix, [1, 2], 1, half));
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.EmbeddingLookup(matrix, [8], 1, large));
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.EmbeddingLookup(matrix, [-1], 1, large));
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.Logits(large, [8], matrix, 1, null, small));
        Assert.Throws<ArgumentException>(() => backend.Logits(large, [1, 2], matrix, 1, null, small));
        Assert.Throws<ArgumentException>(() => backend.Logits(large, [1], matrix, 1, null, half));
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.Logits(large, [1], matrix, 1, 0, small));
    }

    [Fact]
    public void Attention_arguments_that_do_not_fit_are_refused()
    {
        using CpuBackend backend = new();
        using DeviceBuffer query = backend.Allocate(ElementType.Float32, 32), output = backend.Allocate(ElementType.Float32, 32);
        using DeviceBuffer small = backend.Allocate(ElementType.Float32, 31), logs = backend.Allocate(ElementType.Float32, 4), half = backend.Allocate(ElementType.BFloat16, 32);
        using KvCache cache = backend.CreateKvCache(new KvCacheShape(1, 2, 8, ElementType.Float32), 3);
        var shape = new AttentionShape(4, 2, 8);
        AttentionOptions plain = AttentionOptions.Default;
        AttentionPlan plan = OneRow(2), beyond = OneRow(3);
        backend.Attention(plan, shape, plain, query, cache, 0, output, logs);
        Assert.Throws<ArgumentException>(() => backend.Attention(beyond, shape, plain, query, cache, 0, output, logs));
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.Attention(plan, shape, plain, query, cache, 1, output, logs));
        Assert.Throws<ArgumentException>(() => backend.Attention(plan, new AttentionShape(4, 4, 8), plain, query, cache, 0, output, logs));
        Assert.Throws<ArgumentException>(() => backend.Attention(plan, shape, plain, small, cache, 0, output, logs));
        Assert.Throws<ArgumentException>(() => backend.Attention(plan, shape, plain, query, cache, 0, small, logs));
        Assert.Throws<ArgumentException>(() => backend.Attention(plan, shape, plain, query, cache, 0, output, half));
        Assert.Throws<ArgumentException>(() => backend.Attention(plan, shape, plain, query, cache, 0, output, output));
        Assert.Throws<ArgumentException>(() => backend.Attention(plan, shape, new AttentionOptions { AlibiSlopes = new float[3] }, query, cache, 0, output, logs));
        using CpuBackend another = new();
        Assert.Throws<ArgumentNullException>(() => backend.Attention(plan, shape, plain, query, null!, 0, output, logs));
    }

    [Fact]
    public void Rotary_arguments_that_do_not_fit_are_refused()
    {
        using CpuBackend backend = new();
        using DeviceBuffer joint = backend.Allocate(ElementType.Float32, 2 * 64), query = backend.Allocate(ElementType.Float32, 2 * 32);
        using DeviceBuffer weight = backend.Allocate(ElementType.Float32, 7);
        using KvCache cache = backend.CreateKvCache(new KvCacheShape(1, 2, 8, ElementType.Float32), 1);
        var shape = new AttentionShape(4, 2, 8);
        backend.RotaryAppend(joint, shape, null, new PlainRotary(8), [1, 2], [0, 63], cache, 0, query);
        Assert.Throws<ArgumentException>(() => backend.RotaryAppend(joint, shape, null, null, [1, 2], [0], cache, 0, query));
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.RotaryAppend(joint, shape, null, null, [1, 2], [0, 64], cache, 0, query));
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.RotaryAppend(joint, shape, null, null, [1, -2], [0, 1], cache, 0, query));
        Assert.Throws<ArgumentException>(() => backend.RotaryAppend(joint, shape, null, null, [1, 2, 3], [0, 1, 2], cache, 0, query));
        Assert.Throws<ArgumentException>(() => backend.RotaryAppend(joint, shape, null, new PlainRotary(10), [1], [0], cache, 0, query));
        Assert.Throws<ArgumentException>(() => backend.RotaryAppend(joint, shape, null, new PlainRotary(3), [1], [0], cache, 0, query));
        Assert.Throws<ArgumentException>(() => backend.RotaryAppend(joint, shape, new QueryKeyNorm(weight, weight, 1), null, [1], [0], cache, 0, query));
    }

    [Fact]
    public void A_refilled_plan_is_compiled_again()
    {
        using CpuBackend backend = new();
        var scenario = new Scenario(new AttentionShape(2, 1, 8), 4);
        scenario.AddSequence(-1, 1, 100);
        scenario.Fill();
        AttentionPlan plan = scenario.Plan();
        (float[] first, _) = scenario.Run(backend, plan);
        var builder = new AttentionPlanBuilder();
        builder.AddRows(99, 1);
        builder.AddSegment(0, 1, scenario.Sequences[0].Pages.Span, 0, 50, 0, AttentionMask.Full);
        builder.Build(plan);
        scenario.Verify(backend, plan);
        Assert.NotEqual(first, scenario.Run(backend, plan).Output);
    }

    private static bool IsOfType(KernelChoice kernel) => kernel.Operation.StartsWith(CpuBackend.AttentionOver, StringComparison.Ordinal);

    private static AttentionPlan OneRow(int page)
    {
        var builder = new AttentionPlanBuilder();
        builder.AddRows(0, 1);
        builder.AddSegment(0, 1, [page], 0, 1, 0, AttentionMask.Full);
        return builder.Build();
    }
}
