using Hydragen.Core;

namespace Hydragen.Cuda.Tests;

/// <summary>What measurements rest on: the numbers in a cache, and replays that do the same as calls.</summary>
[Collection(nameof(ConformanceTests))]
public sealed class CudaMeterTests
{
    [Fact]
    public void Numbers_are_centred_about_normal_and_differ_with_everything_that_they_follow_from()
    {
        uint row = CacheNumbers.Row(3, 5, 1, 2, CacheNumbers.Key);
        double[] values = [.. Enumerable.Range(0, 1 << 16).Select(i => (double)CacheNumbers.Element(row, i))];
        Assert.InRange(values.Average(), -0.02, 0.02);
        Assert.InRange(Math.Sqrt(values.Average(x => x * x)), 1.14, 1.17);
        Assert.Equal(values.Length, values.Count(x => x * 128 == Math.Round(x * 128)));
        uint[] rows =
        [
            row, CacheNumbers.Row(4, 5, 1, 2, CacheNumbers.Key), CacheNumbers.Row(-1, 5, 1, 2, CacheNumbers.Key), CacheNumbers.Row(3, 6, 1, 2, CacheNumbers.Key),
            CacheNumbers.Row(3, 5, 0, 2, CacheNumbers.Key), CacheNumbers.Row(3, 5, 1, 3, CacheNumbers.Key), CacheNumbers.Row(3, 5, 1, 2, CacheNumbers.Value),
        ];
        Assert.Equal(rows.Length, rows.Distinct().Count());
    }

    /// <summary>The peers' program makes the same numbers by itself; these came from an independent computation.</summary>
    [Theory]
    [InlineData(0, 0, 0, 0, CacheNumbers.Key, 0, -510)]
    [InlineData(-1, 5, 0, 31, CacheNumbers.Query, 127, 145)]
    [InlineData(1023, 511, 0, 7, CacheNumbers.Value, 64, 121)]
    [InlineData(3, 70000, 2, 1, CacheNumbers.Key, 9, 11)]
    public void Numbers_are_the_same_in_every_program(int stream, int token, int layer, int head, int kind, int column, int times128) =>
        Assert.Equal(times128 / 128f, CacheNumbers.Element(CacheNumbers.Row(stream, token, layer, head, kind), column));

    [Theory]
    [InlineData(128, ElementType.BFloat16)]
    [InlineData(40, ElementType.Float16)]
    [InlineData(24, ElementType.Float32)]
    public void A_filled_cache_holds_what_writing_the_same_numbers_would(int headDim, ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        using var meter = new CudaMeter(backend);
        var shape = new AttentionShape(4, 2, headDim);
        // Two streams, the second from the middle of a page on.
        (int FirstSlot, int NumTokens, int Stream, int FirstToken)[] tokens = [(64, 100, -1, 0), (164, 90, 7, 3)];
        using KvCache filled = backend.CreateKvCache(new KvCacheShape(2, 2, headDim, type), 4), written = backend.CreateKvCache(new KvCacheShape(2, 2, headDim, type), 4);
        meter.Fill(filled, tokens);
        for (int layer = 0; layer < 2; layer++)
        {
            foreach ((int firstSlot, int numTokens, int stream, int firstToken) in tokens)
            {
                float[] Rows(int kind) => [.. from token in Enumerable.Range(firstToken, numTokens)
                                              from head in Enumerable.Range(0, 2)
                                              from column in Enumerable.Range(0, headDim)
                                              select CacheNumbers.Element(CacheNumbers.Row(stream, token, layer, head, kind), column)];
                written.Write(layer, [.. Enumerable.Range(firstSlot, numTokens)], Rows(CacheNumbers.Key), Rows(CacheNumbers.Value));
            }
            Assert.Equal(Attend(backend, shape, written, layer), Attend(backend, shape, filled, layer));
        }
    }

    [Fact]
    public void A_step_is_called_once_and_captured_once_and_every_replay_has_a_time()
    {
        using CudaBackend backend = Gpu.Open();
        using var meter = new CudaMeter(backend);
        var shape = new AttentionShape(4, 2, 64);
        using KvCache cache = backend.CreateKvCache(new KvCacheShape(1, 2, 64, ElementType.BFloat16), 4);
        meter.Fill(cache, [(0, 256, 0, 0)]);
        float[] expected = Attend(backend, shape, cache, 0);
        int numCalls = 0;
        float[]? found = null;
        using DeviceBuffer query = Queries(backend, shape), output = backend.Allocate(ElementType.Float32, query.Length);
        AttentionPlan plan = Plan();
        foreach (bool isCold in (bool[])[true, false])
        {
            numCalls = 0;
            double[] seconds = meter.Time(
                () =>
                {
                    numCalls++;
                    backend.Attention(plan, shape, AttentionOptions.Default, query, cache, 0, output, null);
                },
                5, isCold);
            Assert.Equal(2, numCalls);
            Assert.Equal(5, seconds.Length);
            Assert.All(seconds, value => Assert.InRange(value, 1e-7, 1));
            output.Download(found = new float[output.Length]);
            Assert.Equal(expected, found);
        }
    }

    [Fact]
    public void After_a_capture_that_failed_the_next_one_works()
    {
        using CudaBackend backend = Gpu.Open();
        using var meter = new CudaMeter(backend);
        int numCalls = 0;
        Assert.Throws<InvalidOperationException>(() => meter.Time(
            () =>
            {
                if (++numCalls == 2) throw new InvalidOperationException();
            },
            1, isCold: true));
        Assert.InRange(meter.MeasureEmptyGraph(), 1e-7, 1e-2);
        Assert.InRange(meter.MeasureReadRate(64L << 20), 1e9, 1e14);
    }

    private static float[] Attend(CudaBackend backend, AttentionShape shape, KvCache cache, int layer)
    {
        using DeviceBuffer query = Queries(backend, shape), output = backend.Allocate(ElementType.Float32, query.Length);
        backend.Attention(Plan(), shape, AttentionOptions.Default, query, cache, layer, output, null);
        var result = new float[output.Length];
        output.Download(result);
        return result;
    }

    private static DeviceBuffer Queries(CudaBackend backend, AttentionShape shape)
    {
        DeviceBuffer query = backend.Allocate(ElementType.Float32, 2L * shape.NumHeads * shape.HeadDim);
        query.Upload([.. Enumerable.Range(0, (int)query.Length).Select(i => CacheNumbers.Element(0, i))]);
        return query;
    }

    private static AttentionPlan Plan()
    {
        var builder = new AttentionPlanBuilder();
        builder.AddRows(189, 2);
        builder.AddSegment(0, 2, [1, 2, 3], 0, 190, 0, AttentionMask.Full);
        return builder.Build();
    }
}
