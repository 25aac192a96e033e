using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cuda.Tests;

/// <summary>Prompts on the GPU: whole, in chunks, beside rows that decode.</summary>
[Collection(nameof(ConformanceTests))]
public sealed class PrefillTests
{
    public static TheoryData<ElementType> Types => ConformanceTests.Types;

    [Theory]
    [MemberData(nameof(Types))]
    public void Prompts_of_hundreds_of_tokens_agree_with_the_reference_with_every_option(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        PrefillConformance.LongPrompts(backend, type);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void A_prompt_in_chunks_gives_the_function_of_the_whole(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        PrefillConformance.Chunks(backend, type);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Rows_that_decode_and_prompts_in_one_call_agree_with_the_reference(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        PrefillConformance.HybridBatches(backend, type);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Keys_may_be_cut_anywhere(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        PrefillConformance.CutKeys(backend, type);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Alibi_holds_for_any_number_of_heads(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        PrefillConformance.AlibiHeadCounts(backend, type);
    }
}
