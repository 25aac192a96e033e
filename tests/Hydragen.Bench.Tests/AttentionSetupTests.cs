using Hydragen.Cli.Bench;
using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Bench.Tests;

public sealed class AttentionSetupTests
{
    private static readonly AttentionShape Shape = AttentionProtocols.SmallShape;

    [Fact]
    public void The_micro_benchmark_of_the_paper_has_four_shapes()
    {
        IReadOnlyList<AttentionCell> cells = AttentionProtocols.PaperCells([.. Enumerable.Range(0, 33).Select(i => 16 * i)]);
        Assert.Equal(4 * 33, cells.Count);
        Assert.Equal((512, 1024, 0), (cells[0].Batch, cells[0].Prefix, cells[0].Suffix));
        Assert.Equal((4096, 8192, 512), (cells[^1].Batch, cells[^1].Prefix, cells[^1].Suffix));
        Assert.All(cells, cell => Assert.Equal(8, cell.Shape.GroupSize));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void Work_is_counted_key_by_key(int queryLength)
    {
        AttentionSetup setup = Setup();
        var cell = new AttentionCell(Shape, Batch: 3, Prefix: 10, Suffix: 7) { QueryLength = queryLength };
        long pairs = 0;
        for (int query = 0; query < queryLength; query++) pairs += cell.Prefix + cell.Suffix - (queryLength - 1 - query);
        Assert.Equal(4.0 * cell.Batch * pairs * 8 * 128, cell.Flops(AttentionMode.Hydragen));
        Assert.Equal(3 * queryLength, cell.NumRows);

        // Two of the three sequences decode: one row each, which sees everything.
        AttentionCell hybrid = cell with { NumDecoding = 2 };
        Assert.Equal(4.0 * (2 * 17 + pairs) * 8 * 128, hybrid.Flops(AttentionMode.Hydragen));
        Assert.Equal(2 + queryLength, hybrid.NumRows);
        Assert.Equal(setup.Bytes(cell, AttentionMode.Hydragen), setup.Bytes(hybrid, AttentionMode.Hydragen));
    }

    [Fact]
    public void A_shared_prefix_is_read_once_and_others_once_for_each_sequence()
    {
        AttentionSetup setup = Setup();
        var cell = new AttentionCell(Shape, Batch: 3, Prefix: 10, Suffix: 7);
        const int Token = 2 * 2 * 128 * 2;
        Assert.Equal(Token * (10 + 3 * 7), setup.Bytes(cell, AttentionMode.Hydragen));
        Assert.Equal(Token * 3 * (10 + 7), setup.Bytes(cell, AttentionMode.Paged));
        Assert.Equal(Token * 3 * (10 + 7), setup.Bytes(cell, AttentionMode.Copied));
        AttentionSetup mixed = setup with { PrefixKvType = ElementType.Float8E4M3 };
        Assert.Equal(Token / 2 * 10 + Token * 3 * 7, mixed.Bytes(cell, AttentionMode.Hydragen));
        Assert.Equal(Token / 2 * 3 * 10 + Token * 3 * 7, mixed.Bytes(cell, AttentionMode.Paged));
        Assert.Equal((true, ElementType.BFloat16), (mixed.IsMixed, mixed.QueryType));
        Assert.Equal(ElementType.Float16, (mixed with { KvType = ElementType.Int8, PrefixKvType = ElementType.Float16 }).QueryType);
        Assert.Equal(ElementType.BFloat16, (mixed with { KvType = ElementType.Int8 }).QueryType);
        Assert.False((setup with { PrefixKvType = setup.KvType }).IsMixed);
    }

    [Theory]
    [InlineData(1, 16, 0)]
    [InlineData(64, 1024, 128)]
    [InlineData(64, 16384, 128)]
    [InlineData(4096, 8192, 512)]
    public void Data_sets_are_larger_than_the_cache_or_as_large_as_the_memory_allows(int batch, int prefix, int suffix)
    {
        const long BytesPerPage = 64 * 1024, Cache = 32L << 20;
        AttentionSetup setup = Setup();
        var memory = new AttentionMemory(setup, new AttentionCell(Shape, batch, prefix, suffix), BytesPerPage, Cache);
        long shared = memory.SharedPages * BytesPerPage * memory.SharedLayers, copies = memory.CopiedPages * BytesPerPage * memory.CopiedLayers;
        if (memory.Holds(AttentionMode.Hydragen)) Assert.InRange(shared, Cache * 2, setup.MaxBytes);
        if (memory.Holds(AttentionMode.Copied)) Assert.InRange(shared + copies, Cache * 4, setup.MaxBytes);
        Assert.Equal(memory.Holds(AttentionMode.Hydragen), memory.BytesFor(AttentionMode.Hydragen) <= setup.MaxBytes);
        Assert.Equal(memory.Holds(AttentionMode.Copied), memory.BytesFor(AttentionMode.Copied) <= setup.MaxBytes);

        var warm = new AttentionMemory(setup with { IsWarm = true }, new AttentionCell(Shape, batch, prefix, suffix), BytesPerPage, Cache);
        Assert.Equal(1, warm.SharedLayers);
        Assert.Equal(1, warm.CopiedLayers);
    }

    [Fact]
    public void The_published_configurations_are_ten_at_five_suffixes_each()
    {
        Assert.Equal(10, PublishedConfiguration.All.Count);
        Assert.Equal(10, PublishedConfiguration.All.Distinct().Count());
        Assert.Equal(50, AttentionProtocols.PublishedCells.Count);
        foreach (PublishedConfiguration configuration in PublishedConfiguration.All)
        {
            AttentionCell[] cells = [.. AttentionProtocols.PublishedCells.Where(cell => cell.Configuration == configuration)];
            int last = configuration.NumGenerated;
            Assert.Equal([1, last / 4, last / 2, last * 3 / 4, last], cells.Select(cell => cell.Suffix));
            Assert.All(cells, cell => Assert.Equal((configuration.Batch, configuration.Prefix, 32, 128), (cell.Batch, cell.Prefix, cell.Shape.NumHeads, cell.Shape.HeadDim)));
            // Parts are measured once, and cells of other configurations do not share their caches.
            Assert.Equal(last, Assert.Single(cells, cell => cell.HasParts).Suffix);
            Assert.All(AttentionProtocols.PublishedCells, cell => Assert.Equal(cells.Contains(cell), cell.IsBeside(cells[0])));
        }
    }

    [Fact]
    public void A_mean_over_generated_tokens_is_exact_for_a_cost_that_grows_evenly()
    {
        foreach (PublishedConfiguration configuration in PublishedConfiguration.All)
        {
            double mean = configuration.Mean([.. configuration.Suffixes.Select(suffix => 3.0 + 2.0 * suffix)]);
            Assert.Equal(3 + (1.0 + configuration.NumGenerated), mean, 1e-9);
            Assert.Throws<ArgumentException>(() => configuration.Mean([1, 2]));
        }
        // Half of the first interval, of 127 tokens, at a height of 1.
        Assert.Equal(127 / 2.0 / 511, PublishedConfiguration.All[0].Mean([1, 0, 0, 0, 0]), 1e-12);
    }

    [Fact]
    public void Limits_are_the_longer_of_products_and_reads()
    {
        AttentionSetup setup = Setup() with { Protocol = AttentionProtocols.Published };
        var rates = new AttentionRates(setup, new GpuCeilings(ReadGigabytes: 4470, SmallProductGflops: 770_000, LargeProductGflops: 687_000, EmptyGraphSeconds: 3e-6));
        Assert.Equal(770_000, rates.Peak);
        double Limit(int number, AttentionMode mode) => PublishedReport.Limit(rates, PublishedConfiguration.All[number], mode)!.Value * 1e6;
        // The first is bound by reads, the last by products.
        Assert.Equal(64, Limit(0, AttentionMode.Hydragen), 0.5);
        Assert.Equal(357, Limit(9, AttentionMode.Hydragen), 0.5);
        Assert.Equal(357, Limit(9, AttentionMode.Nodes), 0.5);
        AttentionCell cell = AttentionProtocols.PublishedCells[4];
        Assert.Null(rates.LimitSeconds(cell, AttentionMode.Paged));
        Assert.Null(rates.LimitSeconds(cell, AttentionMode.Copied));
        Assert.Equal(setup.Bytes(cell, AttentionMode.Sequences) / 4470e9, rates.LimitSeconds(cell, AttentionMode.Sequences)!.Value, 1e-12);
        var launches = new AttentionRates(setup with { Protocol = AttentionProtocols.Suffix }, new GpuCeilings(4470, 1, 770_000, 3e-6));
        Assert.Equal(8e-6, launches.LimitSeconds(cell, AttentionMode.Sequences)!.Value - rates.LimitSeconds(cell, AttentionMode.Sequences)!.Value, 1e-12);
        Assert.Null(new AttentionRates(setup, new GpuCeilings(4470, null, null, 3e-6)).LimitSeconds(cell, AttentionMode.Nodes));
    }

    [Theory]
    [InlineData("1x2048,8x512,64x128", 3)]
    [InlineData("2x7", 1)]
    [InlineData("1x2,3x4,3x5", 3)]
    [InlineData("", 0)]
    [InlineData("1x0", 0)]
    [InlineData("0x1", 0)]
    [InlineData("1x2,", 0)]
    [InlineData("2x8,3x8", 0)]
    [InlineData("1x16777216,1x1", 0)]
    [InlineData("-1x2", 0)]
    public void Trees_are_read_level_by_level(string text, int numLevels) => Assert.Equal(numLevels, AttentionArguments.ParseTree(text)?.Length ?? 0);

    [Fact]
    public void Parts_of_a_step_add_up_to_it_and_a_tree_is_read_node_by_node()
    {
        AttentionSetup setup = Setup();
        AttentionCell cell = AttentionProtocols.TreeCells[0], oneLevel = AttentionProtocols.TreeCells[1];
        Assert.Equal(cell.Prefix + cell.Suffix, oneLevel.Prefix + oneLevel.Suffix);
        Assert.Equal(2048 + 8 * 512 + 64 * 128, cell.NodeTokens);
        foreach (Func<AttentionCell, AttentionMode, double> count in (Func<AttentionCell, AttentionMode, double>[])[(point, mode) => point.Flops(mode), setup.Bytes])
        {
            Assert.Equal(count(cell, AttentionMode.Hydragen), count(cell, AttentionMode.Nodes) + count(cell, AttentionMode.Sequences));
            Assert.Equal(count(cell, AttentionMode.Copied), count(oneLevel, AttentionMode.Copied));
        }
        Assert.True(setup.Bytes(cell, AttentionMode.Hydragen) < setup.Bytes(oneLevel, AttentionMode.Hydragen) / 4);
    }

    [Fact]
    public void All_layers_of_a_workload_hold_different_data_and_all_modes_agree_on_the_first()
    {
        var shape = new AttentionShape(4, 2, 32);
        AttentionSetup setup = Setup() with { KvType = ElementType.Float32 };
        foreach (AttentionCell cell in (AttentionCell[])[
            new(shape, Batch: 3, Prefix: 100, Suffix: 9),
            new(shape, Batch: 8, Prefix: 130, Suffix: 9) { Levels = [new(2, 70), new(4, 60)] }])
        {
            using var device = new ProcessorDevice(1);
            var memory = new AttentionMemory(setup, cell, bytesPerPage: 64 * 2 * 2 * 32 * 4, lastLevelCacheBytes: 300_000);
            Assert.True(memory.SharedLayers > 1);
            using var workload = new AttentionWorkload(device, setup, cell, memory);
            foreach (AttentionMode mode in AttentionModes.Whole) workload.Prepare(device, mode, CancellationToken.None);
            float[] first = workload.RunFirstLayer(AttentionMode.Hydragen, cell.Suffix);
            Assert.Equal(cell.Batch * 4 * 32, first.Length);
            foreach (AttentionMode mode in (AttentionMode[])[AttentionMode.Paged, AttentionMode.Copied])
            {
                float[] other = workload.RunFirstLayer(mode, cell.Suffix);
                for (int i = 0; i < first.Length; i++) Assert.Equal(first[i], other[i], 1e-5f);
            }
            Assert.NotEqual(first, workload.RunNextLayer(AttentionMode.Hydragen, cell.Suffix));
            // Sequences of one leaf see the same prefix but have different tokens of their own; a shorter suffix is another function.
            Assert.NotEqual(first, workload.RunFirstLayer(AttentionMode.Hydragen, cell.Suffix - 1));
        }
    }

    private static AttentionSetup Setup() => new(
        "custom", ElementType.BFloat16, [], AttentionModes.Whole, Repeats: 1, IsWarm: false, MaxBytes: 4L << 30);
}
