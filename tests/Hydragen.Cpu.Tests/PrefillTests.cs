using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

/// <summary>Prompts: whole, in chunks, beside rows that decode.</summary>
public sealed class PrefillTests
{
    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Prompts_of_hundreds_of_tokens_agree_with_the_reference_with_every_option(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        PrefillConformance.LongPrompts(backend, type);
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void A_prompt_in_chunks_gives_the_function_of_the_whole(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        PrefillConformance.Chunks(backend, type);
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Rows_that_decode_and_prompts_in_one_call_agree_with_the_reference(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        PrefillConformance.HybridBatches(backend, type);
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Keys_may_be_cut_anywhere(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        PrefillConformance.CutKeys(backend, type);
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Alibi_holds_for_any_number_of_heads(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        PrefillConformance.AlibiHeadCounts(backend, type);
    }
}
