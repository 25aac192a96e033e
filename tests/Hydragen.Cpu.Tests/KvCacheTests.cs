using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

public sealed class KvCacheTests
{
    private static readonly KvCacheShape Shape = new(2, 3, 24, ElementType.Float32);

    [Fact]
    public void What_was_written_can_be_read_in_every_element_type()
    {
        using CpuBackend backend = new();
        foreach (ElementType type in ElementTypes.All)
        {
            using var cache = (CpuKvCache)backend.CreateKvCache(Shape with { ElementType = type }, 3);
            (float[] key, float[] value) = Write(cache, 1, Slots(3));
            Verify(cache, 1, Slots(3), key, value);
        }
    }

    [Fact]
    public void Many_tokens_are_written_wherever_their_slots_are()
    {
        using CpuBackend backend = new(new CpuOptions { NumThreads = 3 });
        foreach (ElementType type in ElementTypes.All)
        {
            using var cache = (CpuKvCache)backend.CreateKvCache(Shape with { ElementType = type }, 12);
            int[] slots = Slots(12);
            new Random(1).Shuffle(slots);
            (float[] key, float[] value) = Write(cache, 1, slots[..701]);
            Verify(cache, 1, slots[..701], key, value);
        }
    }

    [Fact]
    public void Growing_keeps_the_content_and_moves_no_page()
    {
        using CpuBackend backend = new();
        using var cache = (CpuKvCache)backend.CreateKvCache(Shape, 2);
        (float[] key, float[] value) = Write(cache, 0, Slots(2));
        nuint[] pages = cache.Pages.ToArray();
        foreach (int numPages in (int[])[3, 4, 50, 700, 10])
        {
            cache.Reserve(numPages);
            Assert.True(cache.NumPages >= numPages);
            Assert.Equal(pages, cache.Pages[..2].ToArray());
            Verify(cache, 0, Slots(2), key, value);
        }
        Assert.Equal(700, cache.NumPages);
        Assert.Equal(700, cache.Pages.ToArray().Distinct().Count());
    }

    [Fact]
    public void A_cache_too_large_for_memory_is_refused_and_unchanged()
    {
        var allocator = new LimitedAllocator(1 << 20);
        using var backend = new CpuBackend(null, allocator);
        using var cache = (CpuKvCache)backend.CreateKvCache(Shape, 2);
        (float[] key, float[] value) = Write(cache, 0, Slots(2));
        Assert.Throws<InsufficientMemoryException>(() => cache.Reserve(1000));
        Assert.Equal(2, cache.NumPages);
        Verify(cache, 0, Slots(2), key, value);
    }

    [Theory]
    [InlineData(0, 64, 64)]
    [InlineData(5, 64 + 20, 30)]
    [InlineData(3, 10, 40)]
    [InlineData(10, 3, 40)]
    [InlineData(63, 127, 1)]
    [InlineData(7, 7, 20)]
    [InlineData(0, 70, 0)]
    public void Tokens_are_copied_in_all_layers(int source, int destination, int numTokens)
    {
        using CpuBackend backend = new();
        foreach (ElementType type in ElementTypes.All)
        {
            using var cache = (CpuKvCache)backend.CreateKvCache(Shape with { ElementType = type }, 2);
            var layers = new (float[] Key, float[] Value)[2];
            for (int layer = 0; layer < 2; layer++) layers[layer] = Write(cache, layer, Slots(2));
            cache.Copy(source, destination, numTokens);
            int[] origin = Slots(2);
            for (int i = 0; i < numTokens; i++) origin[destination + i] = source + i;
            for (int layer = 0; layer < 2; layer++)
            {
                float[] Move(float[] values) => origin.SelectMany(slot => values[(slot * 72)..((slot + 1) * 72)]).ToArray();
                Verify(cache, layer, Slots(2), Move(layers[layer].Key), Move(layers[layer].Value));
            }
        }
    }

    [Fact]
    public void Ranges_outside_a_page_or_the_cache_are_refused()
    {
        using CpuBackend backend = new();
        using KvCache cache = backend.CreateKvCache(Shape, 2);
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Copy(60, 0, 5));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Copy(0, 60, 5));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Copy(-1, 0, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Copy(0, 128, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Copy(0, 1, -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Write(0, [128], new float[72], new float[72]));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Write(0, [-1], new float[72], new float[72]));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Write(2, [1], new float[72], new float[72]));
        Assert.Throws<ArgumentException>(() => cache.Write(0, [1, 2], new float[72], new float[144]));
        Assert.Throws<ArgumentException>(() => cache.Write(0, [1], new float[72], new float[71]));
    }

    [Fact]
    public void Bytes_per_page_count_the_padding()
    {
        using CpuBackend backend = new();
        using KvCache cache = backend.CreateKvCache(new KvCacheShape(3, 2, 24, ElementType.BFloat16), 1);
        Assert.Equal(3 * 2 * 64 * (24 + 32) * 2, cache.BytesPerPage);
    }

    [Fact]
    public void Bytes_take_half_of_the_memory_of_BF16()
    {
        using CpuBackend backend = new();
        long Bytes(ElementType type, int headDim)
        {
            using KvCache cache = backend.CreateKvCache(new KvCacheShape(3, 2, headDim, type), 1);
            return cache.BytesPerPage;
        }
        foreach (int headDim in (int[])[64, 128, 256])
        {
            Assert.Equal(Bytes(ElementType.BFloat16, headDim), 2 * Bytes(ElementType.Float8E4M3, headDim));
            Assert.Equal(Bytes(ElementType.BFloat16, headDim), 2 * Bytes(ElementType.Float8E5M2, headDim));
            Assert.InRange(Bytes(ElementType.Int8, headDim), 0, 0.52 * Bytes(ElementType.BFloat16, headDim));
        }
    }

    private static int[] Slots(int numPages) => Enumerable.Range(0, numPages * KvCache.PageSize).ToArray();

    private static (float[] Key, float[] Value) Write(CpuKvCache cache, int layer, int[] slots)
    {
        var random = new Random(layer);
        float[] key = RandomTensors.Normal(random, slots.Length * 72), value = RandomTensors.Normal(random, slots.Length * 72);
        cache.Write(layer, slots, key, value);
        KvRounding.Round(key, cache.Shape.HeadDim, cache.Shape.ElementType);
        KvRounding.Round(value, cache.Shape.HeadDim, cache.Shape.ElementType);
        return (key, value);
    }

    private static void Verify(CpuKvCache cache, int layer, int[] slots, float[] key, float[] value)
    {
        for (int i = 0; i < key.Length; i++)
        {
            int slot = slots[i / 72], head = i / 24 % 3, element = i % 24;
            if (key[i] != CacheReader.Read(cache, layer, head, slot, element, isValue: false)) Assert.Fail($"key {i} differs");
            if (value[i] != CacheReader.Read(cache, layer, head, slot, element, isValue: true)) Assert.Fail($"value {i} differs");
        }
    }

    private sealed class LimitedAllocator(long budget) : NativeAllocator
    {
        private long _budget = budget;

        public override NativeBlock Allocate(nuint size, bool zeroed)
        {
            if ((long)size > _budget) throw new InsufficientMemoryException("The test's budget is spent.");
            _budget -= (long)size;
            return Default.Allocate(size, zeroed);
        }
    }
}
