using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cuda.Tests;

/// <summary>Life time, argument checks, conversions.</summary>
[Collection(nameof(ConformanceTests))]
public sealed class CudaBackendTests
{
    [Fact]
    public void Without_what_cuda_needs_the_message_says_what_is_missing()
    {
        CudaEnvironment environment = CudaEnvironment.Probe();
        if (environment.Missing.Count == 0) Assert.Skip("Nothing is missing here.");
        PlatformNotSupportedException exception = Assert.Throws<PlatformNotSupportedException>(() => new CudaBackend());
        foreach (string line in environment.Missing) Assert.Contains(line, exception.Message, StringComparison.Ordinal);
        Assert.True(environment.DriverVersion is null || environment.CompilerVersion is null || environment.Devices.Count == 0);
    }

    [Fact]
    public void A_device_that_does_not_exist_is_refused()
    {
        Gpu.Open().Dispose();
        PlatformNotSupportedException exception = Assert.Throws<PlatformNotSupportedException>(() => new CudaBackend(new CudaOptions { DeviceIndex = 99 }));
        Assert.Contains("99", exception.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => new CudaOptions { DeviceIndex = -1 });
    }

    [Fact]
    public void Buffers_keep_what_they_are_given_rounded_to_their_type()
    {
        using CudaBackend backend = Gpu.Open();
        foreach (ElementType type in ElementTypes.Dense)
        {
            // More than one piece of a conversion.
            float[] values = RandomTensors.Normal(new Random(1), (1 << 20) + 3);
            using DeviceBuffer buffer = backend.Allocate(type, values.Length + 5);
            buffer.Upload(values, 5);
            var found = new float[values.Length - 2];
            buffer.Download(found, 7);
            Assert.Equal(RandomTensors.Round(values, type)[2..], found);
            Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Upload(values, 6));
            Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Download(found, -1));
        }
    }

    [Fact]
    public void Freed_things_are_refused_not_read()
    {
        CudaBackend backend = Gpu.Open();
        DeviceBuffer freed = backend.Allocate(ElementType.Float32, 64), alive = backend.Allocate(ElementType.Float32, 64);
        KvCache cache = backend.CreateKvCache(new KvCacheShape(1, 1, 8, ElementType.Float32), 1);
        freed.Dispose();
        freed.Dispose();
        Assert.Throws<ObjectDisposedException>(() => freed.Upload([1]));
        Assert.Throws<ObjectDisposedException>(() => freed.Download(new float[1]));
        AttentionPlan plan = OneRow(0);
        var shape = new AttentionShape(1, 1, 8);
        Assert.Throws<ObjectDisposedException>(() => backend.Attention(plan, shape, AttentionOptions.Default, freed, cache, 0, alive, null));
        cache.Dispose();
        Assert.Throws<ObjectDisposedException>(() => cache.Reserve(2));
        Assert.Throws<ObjectDisposedException>(() => cache.Copy(0, 1, 1));
        using DeviceBuffer other = backend.Allocate(ElementType.Float32, 64);
        Assert.Throws<ObjectDisposedException>(() => backend.Attention(plan, shape, AttentionOptions.Default, alive, cache, 0, other, null));
        backend.Dispose();
        backend.Dispose();
        Assert.Throws<ObjectDisposedException>(() => backend.Allocate(ElementType.Float32, 1));
        alive.Dispose();
    }

    [Fact]
    public void Attention_arguments_that_do_not_fit_are_refused()
    {
        using CudaBackend backend = Gpu.Open();
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
    }

    [Fact]
    public void A_refilled_plan_is_compiled_again()
    {
        using CudaBackend backend = Gpu.Open();
        var scenario = new Scenario(new AttentionShape(2, 1, 8), 4);
        scenario.AddSequence(-1, 1, 100);
        scenario.Fill();
        using KvCache cache = scenario.CreateCache(backend);
        AttentionPlan plan = scenario.Plan();
        (float[] first, _) = scenario.Run(backend, plan, cache);
        var builder = new AttentionPlanBuilder();
        builder.AddRows(99, 1);
        builder.AddSegment(0, 1, scenario.Sequences[0].Pages.Span, 0, 50, 0, AttentionMask.Full);
        builder.Build(plan);
        Assert.NotEqual(first, scenario.Run(backend, plan, cache).Output);
        scenario.Verify(backend, plan);
    }

    private static AttentionPlan OneRow(int page)
    {
        var builder = new AttentionPlanBuilder();
        builder.AddRows(0, 1);
        builder.AddSegment(0, 1, [page], 0, 1, 0, AttentionMask.Full);
        return builder.Build();
    }
}
