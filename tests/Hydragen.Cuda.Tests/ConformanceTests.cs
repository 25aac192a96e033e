using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cuda.Tests;

/// <summary>The conformance suite of the attention operator on the GPU.</summary>
[Collection(nameof(ConformanceTests))]
public sealed class ConformanceTests
{
    [CollectionDefinition(nameof(ConformanceTests), DisableParallelization = true)]
    public sealed class OneAtATime;

    public static TheoryData<ElementType> Types => [.. ElementTypes.All];

    public static TheoryData<ElementType, ElementType> MixedTypes
    {
        get
        {
            var types = new TheoryData<ElementType, ElementType>();
            foreach (ElementType query in ElementTypes.Dense)
            {
                foreach (ElementType kv in ElementTypes.All)
                {
                    if (query != kv) types.Add(query, kv);
                }
            }
            return types;
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Every_head_dimension_agrees_with_the_reference(ElementType type)
    {
        using CudaBackend backend = Gpu.OpenForAllHeadDimensions(type);
        AttentionConformance.HeadDimensions(backend, type);
    }

    [Theory]
    [InlineData(ElementType.BFloat16, 10)]
    [InlineData(ElementType.Float16, 40)]
    [InlineData(ElementType.Int8, 10)]
    [InlineData(ElementType.Float8E4M3, 40)]
    public void Every_head_dimension_agrees_with_the_reference_in_nodes(ElementType type, int numSequences)
    {
        using CudaBackend backend = Gpu.OpenForAllHeadDimensions(type);
        for (int headDim = 8; headDim <= 256; headDim += 8)
        {
            var scenario = new Scenario(new AttentionShape(4, 2, headDim), headDim) { Type = type };
            int root = scenario.AddNode(-1, 150);
            for (int i = 0; i < numSequences; i++) scenario.AddSequence(root, 1, i % 2);
            scenario.Fill().Verify(backend);
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Every_group_size_agrees_with_the_reference(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        AttentionConformance.GroupSizes(backend, type);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Lengths_around_every_tile_and_page_size_agree_with_the_reference(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        AttentionConformance.Lengths(backend, type);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Causal_queries_agree_with_the_reference(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        AttentionConformance.CausalQueries(backend, type);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void A_long_prefill_agrees_with_the_reference(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        AttentionConformance.LongPrefill(backend, type);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    public void The_shape_sets_of_the_reference_implementation_agree(int numKvHeads)
    {
        using CudaBackend backend = Gpu.Open();
        AttentionConformance.ReferenceShapes(backend, numKvHeads, [[1], [10]]);
        AttentionConformance.ReferenceShapes(backend, numKvHeads, [[3], [6, 6]]);
        AttentionConformance.ReferenceShapes(backend, numKvHeads, [[7, 7], [9, 10, 11, 4], [129, 2, 3, 4, 5, 6, 7, 128]]);
        AttentionConformance.ReferenceShapes(backend, numKvHeads, [[16384], [1, 128, 256]]);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Biases_windows_and_caps_hold_across_the_borders_of_segments(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        AttentionConformance.LogitOptions(backend, type);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Extreme_logits_stay_exact(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        AttentionConformance.ExtremeLogits(backend, type);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Large_common_shifts_of_the_scores_keep_the_output(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        AttentionConformance.CommonShifts(backend, type);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void One_key_yields_its_value_at_any_finite_score(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        AttentionConformance.OneKey(backend, type);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Equal_keys_yield_the_mean_of_the_values(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        AttentionConformance.EqualKeys(backend, type);
    }

    [Fact]
    public void Rows_without_visible_keys_are_zero_and_minus_infinity()
    {
        using CudaBackend backend = Gpu.Open();
        AttentionConformance.RowsWithoutKeys(backend);
    }

    [Fact]
    public void An_empty_plan_is_allowed()
    {
        using CudaBackend backend = Gpu.Open();
        AttentionConformance.EmptyPlan(backend);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void The_output_may_be_the_query(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        AttentionConformance.OutputInPlace(backend, type);
    }

    [Fact]
    public void Random_trees_agree_with_the_reference_in_all_sharing_modes()
    {
        using CudaBackend backend = Gpu.Open();
        for (int seed = 0; seed < 40; seed++)
        {
            Scenario scenario = RandomTrees.Create(seed);
            scenario.Verify(backend);
            scenario.Verify(backend, SharingMode.Paged);
        }
    }

    [Theory]
    [MemberData(nameof(MixedTypes))]
    public void Queries_of_another_type_than_the_cache_agree_with_the_reference(ElementType queryType, ElementType kvType)
    {
        using CudaBackend backend = Gpu.Open();
        foreach (int headDim in (int[])[8, 40, 128])
        {
            var scenario = new Scenario(new AttentionShape(6, 2, headDim), headDim) { QueryType = queryType, KvType = kvType, OutputType = queryType };
            int root = scenario.AddNode(-1, 150);
            scenario.AddSequence(root, 1, 5);
            scenario.AddSequence(root, 7, 20);
            scenario.Fill().Verify(backend);
        }
    }

    /// <summary>Types, head dimensions with kernels of their own, and whether only portable kernels run.</summary>
    public static TheoryData<ElementType, int, bool> Tiles
    {
        get
        {
            var tiles = new TheoryData<ElementType, int, bool>();
            foreach (bool isPortable in (bool[])[false, true])
            {
                foreach (int headDim in (int[])[64, 128, 256]) tiles.Add(ElementType.BFloat16, headDim, isPortable);
                tiles.Add(ElementType.Float16, 128, isPortable);
                foreach (int headDim in (int[])[64, 128, 256]) tiles.Add(ElementType.Int8, headDim, isPortable);
                tiles.Add(ElementType.Float8E4M3, 128, isPortable);
                tiles.Add(ElementType.Float8E5M2, 128, isPortable);
            }
            tiles.Add(ElementType.Float32, 64, true);
            return tiles;
        }
    }

    [Theory]
    [MemberData(nameof(Tiles))]
    public void Numbers_of_vectors_around_every_tile_size_agree_with_the_reference(ElementType type, int headDim, bool isPortable)
    {
        using CudaBackend backend = Gpu.Open(AttentionWork.DefaultWorkspaceBytes, isPortable);
        foreach (int numVectors in (int[])[1, 8, 9, 17, 63, 64, 65, 127, 128, 129, 257])
        {
            int group = numVectors % 3 == 0 ? 3 : 1;
            var scenario = new Scenario(new AttentionShape(2 * group, 2, headDim), numVectors) { Type = type };
            int root = scenario.AddNode(-1, 200);
            for (int i = 0; i < numVectors / group; i++) scenario.AddSequence(root, 1, i % 3);
            scenario.Fill().Verify(backend);
        }
    }

    [Theory]
    [MemberData(nameof(Tiles))]
    public void Large_nodes_agree_with_the_reference_with_all_masks_and_options(ElementType type, int headDim, bool isPortable)
    {
        using CudaBackend backend = Gpu.Open(AttentionWork.DefaultWorkspaceBytes, isPortable);
        AttentionOptions[] variants =
        [
            AttentionOptions.Default,
            new() { SlidingWindow = 150 },
            new() { LogitSoftCap = 20, AlibiSlopes = AlibiSlopes.ForHeads(2), SlidingWindow = 97, Scale = 0.2f },
        ];
        foreach (AttentionOptions options in variants)
        {
            // Keys of 1, 2, 3 and 5 pages, whole and not, from the middle of a page on, below more than 128 vectors and causal.
            foreach (int length in (int[])[1, 65, 128, 190, 320])
            {
                var scenario = new Scenario(new AttentionShape(2, 1, headDim), length) { Type = type, Options = options };
                int root = scenario.AddNode(-1, length);
                scenario.AddSequence(root, 70, 70 + length / 2);
                scenario.AddSequence(root, 3, 0);
                scenario.Fill().Verify(backend);
                if (length < 65) continue;
                var builder = new AttentionPlanBuilder();
                builder.AddRows(length, 73);
                builder.AddSegment(0, 73, scenario.Nodes[0].Pages.Span, 50, length - 50, 3, AttentionMask.Full);
                scenario.Verify(backend, builder.Build());
            }
        }
    }
}
