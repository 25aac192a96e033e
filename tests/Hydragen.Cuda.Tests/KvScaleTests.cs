using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cuda.Tests;

/// <summary>Scales of FP8 keys and values on the GPU.</summary>
[Collection(nameof(ConformanceTests))]
public sealed class KvScaleTests
{
    /// <summary>Types of sequences and prefixes, and whether only portable kernels run.</summary>
    public static TheoryData<ElementType, ElementType, bool> MixedTypes
    {
        get
        {
            var types = new TheoryData<ElementType, ElementType, bool>();
            foreach ((ElementType suffix, ElementType prefix) in KvScaleConformance.MixedTypes)
            {
                foreach (bool isPortable in (bool[])[false, true]) types.Add(suffix, prefix, isPortable);
            }
            return types;
        }
    }

    public static TheoryData<ElementType> Types => [.. KvScaleConformance.Types];

    [Theory]
    [MemberData(nameof(MixedTypes))]
    public void Scales_move_results_by_themselves_and_by_nothing_else(ElementType suffixType, ElementType prefixType, bool isPortable)
    {
        using CudaBackend backend = Gpu.Open(AttentionWork.DefaultWorkspaceBytes, isPortable);
        Gpu.Compile([24, 64, 128, 256], [suffixType, prefixType], isPortable);
        KvScaleConformance.Attention(backend, suffixType, prefixType, ElementType.BFloat16);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void The_scalar_kernel_knows_scales(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        KvScaleConformance.Attention(backend, type, type, ElementType.Float32);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Partial_results_are_scaled(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        foreach (ElementType queryType in (ElementType[])[ElementType.BFloat16, ElementType.Float16, ElementType.Float32]) KvScaleConformance.Splits(backend, type, queryType);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void What_is_stored_with_scales_is_what_the_host_rounds_to(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        KvScaleConformance.ScalesOfOne(backend, type);
        KvScaleConformance.Rounding(backend, type);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void With_scales_a_head_beyond_the_range_does_not_saturate(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        KvScaleConformance.Operator(backend, type);
    }

    [Fact]
    public void Largest_magnitudes_are_found_and_what_makes_no_sense_is_refused()
    {
        using CudaBackend backend = Gpu.Open();
        KvScaleConformance.Magnitudes(backend);
        KvScaleConformance.Refusals(backend);
    }
}
