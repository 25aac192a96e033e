using Hydragen.Cli.Bench;
using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Bench.Tests;

public sealed class AttentionSetupTests
{
    private static readonly SharingMode[] Modes = [SharingMode.Hydragen, SharingMode.Paged, SharingMode.Copied];

    [Fact]
    public void The_published_protocol_has_four_shapes_and_33_suffixes()
    {
        IReadOnlyList<AttentionCell> cells = AttentionProtocols.PublishedCells(AttentionProtocols.PublishedSuffixes);
        Assert.Equal(4 * 33, cells.Count);
        Assert.Equal(new AttentionCell(512, 1024, 0), cells[0]);
        Assert.Equal(new AttentionCell(4096, 8192, 512), cells[^1]);
        Assert.Equal(8, AttentionProtocols.PublishedShape.GroupSize);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void Work_is_counted_key_by_key(int queryLength)
    {
        AttentionSetup setup = Setup(queryLength);
        var cell = new AttentionCell(Batch: 3, Prefix: 10, Suffix: 7);
        long pairs = 0;
        for (int query = 0; query < queryLength; query++) pairs += cell.Prefix + cell.Suffix - (queryLength - 1 - query);
        Assert.Equal(4.0 * cell.Batch * pairs * 8 * 128, setup.Flops(cell));
    }

    [Fact]
    public void A_shared_prefix_is_read_once_and_others_once_for_each_sequence()
    {
        AttentionSetup setup = Setup(1);
        var cell = new AttentionCell(Batch: 3, Prefix: 10, Suffix: 7);
        const int Token = 2 * 2 * 128 * 2;
        Assert.Equal(Token * (10 + 3 * 7), setup.Bytes(cell, SharingMode.Hydragen));
        Assert.Equal(Token * 3 * (10 + 7), setup.Bytes(cell, SharingMode.Paged));
        Assert.Equal(Token * 3 * (10 + 7), setup.Bytes(cell, SharingMode.Copied));
    }

    [Theory]
    [InlineData(1, 16, 0)]
    [InlineData(64, 1024, 128)]
    [InlineData(64, 16384, 128)]
    [InlineData(4096, 8192, 512)]
    public void Data_sets_are_larger_than_the_cache_or_as_large_as_the_memory_allows(int batch, int prefix, int suffix)
    {
        const long BytesPerPage = 64 * 1024, Cache = 32L << 20;
        AttentionSetup setup = Setup(1);
        var memory = new AttentionMemory(setup, new AttentionCell(batch, prefix, suffix), BytesPerPage, Cache);
        long shared = memory.SharedPages * BytesPerPage * memory.SharedLayers, copies = memory.CopiedPages * BytesPerPage * memory.CopiedLayers;
        if (memory.Holds(SharingMode.Hydragen)) Assert.InRange(shared, Cache * 2, setup.MaxBytes);
        if (memory.Holds(SharingMode.Copied)) Assert.InRange(shared + copies, Cache * 4, setup.MaxBytes);
        Assert.Equal(memory.Holds(SharingMode.Hydragen), memory.BytesFor(SharingMode.Hydragen) <= setup.MaxBytes);
        Assert.Equal(memory.Holds(SharingMode.Copied), memory.BytesFor(SharingMode.Copied) <= setup.MaxBytes);

        var warm = new AttentionMemory(setup with { IsWarm = true }, new AttentionCell(batch, prefix, suffix), BytesPerPage, Cache);
        Assert.Equal(1, warm.SharedLayers);
        Assert.Equal(1, warm.CopiedLayers);
    }

    [Fact]
    public void All_layers_of_a_workload_hold_different_data_and_all_modes_agree_on_the_first()
    {
        AttentionSetup setup = Setup(1) with { Shape = new AttentionShape(4, 2, 32), KvType = ElementType.Float32 };
        var cell = new AttentionCell(Batch: 3, Prefix: 100, Suffix: 9);
        using var backend = new CpuBackend(new CpuOptions { NumThreads = 1 });
        var memory = new AttentionMemory(setup, cell, bytesPerPage: 64 * 2 * 2 * 32 * 4, lastLevelCacheBytes: 200_000);
        Assert.True(memory.SharedLayers > 1);
        using var workload = new AttentionWorkload(backend, setup, cell, memory, new NormalPool(1), CancellationToken.None);
        float[] first = workload.RunFirstLayer(SharingMode.Hydragen);
        Assert.Equal(3 * 4 * 32, first.Length);
        foreach (SharingMode mode in (SharingMode[])[SharingMode.Paged, SharingMode.Copied])
        {
            float[] other = workload.RunFirstLayer(mode);
            for (int i = 0; i < first.Length; i++) Assert.Equal(first[i], other[i], 1e-5f);
        }
        Assert.NotEqual(first, workload.RunNextLayer(SharingMode.Hydragen));
    }

    private static AttentionSetup Setup(int queryLength) => new(
        "custom", AttentionProtocols.MicroShape, ElementType.BFloat16, queryLength, [], Modes, Repeats: 1, IsWarm: false, MaxBytes: 4L << 30);
}
