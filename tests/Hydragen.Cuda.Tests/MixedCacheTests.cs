using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cuda.Tests;

/// <summary>Caches in which prefixes have a type of their own, on the GPU.</summary>
[Collection(nameof(ConformanceTests))]
public sealed class MixedCacheTests
{
    /// <summary>Pairs of types, and whether only portable kernels run.</summary>
    public static TheoryData<ElementType, ElementType, bool> Types
    {
        get
        {
            var types = new TheoryData<ElementType, ElementType, bool>();
            foreach ((ElementType suffix, ElementType prefix) in MixedCacheConformance.Types)
            {
                foreach (bool isPortable in (bool[])[false, true]) types.Add(suffix, prefix, isPortable);
            }
            return types;
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Prefixes_with_a_type_of_their_own_agree_with_the_reference(ElementType suffixType, ElementType prefixType, bool isPortable)
    {
        using CudaBackend backend = Gpu.Open(AttentionWork.DefaultWorkspaceBytes, isPortable);
        MixedCacheConformance.Attention(backend, suffixType, prefixType);
        MixedCacheConformance.LongPrefix(backend, suffixType, prefixType);
    }

    [Fact]
    public void The_type_of_all_others_for_prefixes_changes_no_bit()
    {
        using CudaBackend backend = Gpu.Open();
        foreach (ElementType type in ElementTypes.All) MixedCacheConformance.SameType(backend, type);
    }

    [Fact]
    public void Pages_have_a_kind_from_beginning_to_end()
    {
        using CudaBackend backend = Gpu.Open();
        MixedCacheConformance.Pages(backend);
    }

    [Fact]
    public void Nothing_crosses_the_border_between_the_kinds()
    {
        using CudaBackend backend = Gpu.Open();
        MixedCacheConformance.Borders(backend);
    }

    [Fact]
    public void The_operator_rounds_nodes_and_sequences_to_their_types()
    {
        using CudaBackend backend = Gpu.Open();
        MixedCacheConformance.Operator(backend);
    }
}
